# shellcheck shell=bash disable=SC2034,SC2154  # names are shared with ./dev
# The PostgreSQL that `./dev run` has for itself.
# Part of ./dev, which reads it.

# PostgreSQL refuses to run as root: then its own user does.
choose_database_user() {
  database_user=$(id -un)
  as_database=()
  ((EUID == 0)) || return 0
  database_user=postgres
  id "$database_user" >/dev/null 2>&1 || useradd --system --shell /usr/sbin/nologin postgres
  as_database=(setpriv --reuid "$database_user" --regid "$(id -gn "$database_user")" --init-groups)
}

# Where the cluster lives: in .dev, or below /var/tmp where its user cannot reach that or the path
# is too long for a socket (107 bytes).
choose_cluster() {
  local hash
  cluster=$state/postgres
  mkdir -p "$state"
  if ((${#cluster} > 80)) || { ((EUID == 0)) && ! "${as_database[@]}" test -x "$state"; }; then
    hash=$(printf '%s' "$state" | sha256sum | cut -c 1-12)
    cluster=/var/tmp/pgcast-$hash
  fi
  if [[ -e $cluster && $(stat -c %U "$cluster") != "$database_user" ]]; then
    fail "$cluster belongs to somebody else; please remove it" 77
  fi
  if [[ ! -e $cluster ]]; then
    mkdir -m 700 "$cluster"
    ((EUID != 0)) || chown "$database_user:" "$cluster"
  fi
}

# psql_private FILE|- : as the owner of the private database; the first error ends it.
psql_private() {
  psql -X -q -v ON_ERROR_STOP=1 -1 -f "$1" "$private_url" >/dev/null
}

start_private_database() {
  local bin tries file
  choose_database_user
  choose_cluster
  bin=$(postgres_bin)
  [[ -n $bin ]] || fail "no PostgreSQL for the cluster in $cluster; try ./dev run --fresh" 69
  private_url="host=$cluster user=postgres dbname=pgcast"
  if [[ ! -e $cluster/ready ]]; then
    "${as_database[@]}" find "$cluster" -mindepth 1 -delete
    step "private database" "${as_database[@]}" "$bin/initdb" -D "$cluster/data" \
      -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync
  fi
  spawn "$database" INT "$bin/postgres" -D "$cluster/data" -k "$cluster" \
    -c listen_addresses= 2>>"$state/postgres.log"
  for ((tries = 0; ; tries++)); do
    ! "$bin/pg_isready" -q -h "$cluster" -U postgres -d postgres || break
    if ((tries == 300)) || ! kill -0 "${children[0]}" 2>/dev/null; then
      fail "the private database does not start; see $state/postgres.log" 69
    fi
    sleep 0.1
  done
  if [[ ! -e $cluster/ready ]]; then
    psql -X -q -h "$cluster" -U postgres -d postgres -c 'create database pgcast'
    for file in schema rls data; do psql_private "$root/deploy/demo/$file.sql"; done
    basename "$(dirname "$bin")" >"$state/version"
    "${as_database[@]}" touch "$cluster/ready"
  fi
}

remove_private_database() {
  choose_database_user
  choose_cluster
  "${as_database[@]}" find "$cluster" -mindepth 1 -delete
  rm -f "$state/version"
}
