# shellcheck shell=bash disable=SC2034,SC2154  # names are shared with ./dev
# What must be installed, why, and how nothing else changes by it.
# Part of ./dev, which reads it.

build_packages="g++ cmake ninja-build ccache pkg-config libboost1.81-dev libsimdjson-dev
  libspdlog-dev libfmt-dev libcli11-dev libtomlplusplus-dev libpq-dev libssl-dev
  libcurl4-openssl-dev libsystemd-dev
  zlib1g-dev libre2-dev libgtest-dev libgmock-dev"

# Why a package is wanted, for the one line that announces it.
reason() {
  case $1 in
    g++ | cmake | ninja-build | ccache | pkg-config) echo "to compile" ;;
    libboost*) echo "sockets and HTTP" ;;
    libgtest-dev | libgmock-dev) echo "the unit tests" ;;
    postgresql*) echo "the private database" ;;
    nodejs | npm | ca-certificates | curl) echo "the tests with real clients" ;;
    chromium) echo "the tests of the console" ;;
    pgbouncer) echo "the tests behind a pooler" ;;
    openssl) echo "the tests with TLS" ;;
    systemd) echo "the test of the unit file" ;;
    *) echo "library" ;;
  esac
}

# The version of the installed Boost headers as a number (108100 = 1.81.0); 0 without any.
installed_boost() {
  sed -n 's/^#define BOOST_VERSION \([0-9]*\).*/\1/p' /usr/include/boost/version.hpp 2>/dev/null |
    grep . || echo 0
}

# PostgreSQL's programs, newest of 14 to 18; a cluster that exists keeps its version.
postgres_bin() {
  local version versions="18 17 16 15 14"
  [[ ! -r $state/version ]] || versions=$(<"$state/version")
  for version in $versions; do
    if [[ -x /usr/lib/postgresql/$version/bin/initdb ]]; then
      echo "/usr/lib/postgresql/$version/bin"
      return
    fi
  done
}

# has_node MAJOR: that version of Node.js or a newer one.
has_node() {
  [[ $(node --version 2>/dev/null) =~ ^v([0-9]+) ]] && ((BASH_REMATCH[1] >= $1))
}

# wanted_packages run|test
wanted_packages() {
  local boost
  boost=$(installed_boost)
  if ((boost != 0)); then
    # Another libboost-dev is there: new enough, or its 1.81 sister goes into the build folder.
    echo "${build_packages/libboost1.81-dev/}"
  else
    echo "$build_packages"
  fi
  [[ -n $(postgres_bin) ]] || echo postgresql-15
  if [[ $1 == test ]]; then
    has_node 18 || echo nodejs
    command -v npm >/dev/null || echo npm
    [[ -r /etc/ssl/certs/ca-certificates.crt ]] || echo ca-certificates
    command -v openssl >/dev/null || echo openssl
    command -v curl >/dev/null || echo curl
    command -v chromium google-chrome >/dev/null || echo chromium
    [[ -x /usr/sbin/pgbouncer ]] || echo pgbouncer
    command -v systemd-analyze >/dev/null || echo systemd
  fi
}

# missing PACKAGE...: those that are not installed.
missing() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  local package
  for package in "$@"; do
    grep -qxF "installed $package" <<<"$installed" || echo "$package"
  done
}

as_root() {
  if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# Debian's postgresql-15 would start a cluster of its own, and its pgbouncer a service: the snippet
# and the mask that keep them from it are gone again afterwards.
install_packages() {
  local folder=/etc/postgresql-common/createcluster.d snippet had_folder=yes status=0
  local units=/etc/systemd/system
  snippet=$folder/pgcast.conf
  if [[ " $* " == *" pgbouncer "* ]]; then
    as_root mkdir -p "$units"
    as_root ln -sfn /dev/null "$units/pgbouncer.service"
  fi
  if [[ " $* " == *" postgresql-"* ]]; then
    [[ -d $folder ]] || had_folder=no
    as_root mkdir -p "$folder"
    as_root sh -c "echo 'create_main_cluster = false' >$snippet"
  fi
  apt install --no-install-recommends --no-remove "$@" || status=$?
  if [[ " $* " == *" postgresql-"* ]]; then
    as_root rm -f "$snippet"
    [[ $had_folder == yes ]] || as_root rmdir --ignore-fail-on-non-empty "$folder"
  fi
  if [[ " $* " == *" pgbouncer "* ]]; then
    as_root rm -f "$units/pgbouncer.service" "$units/multi-user.target.wants/pgbouncer.service"
  fi
  return "$status"
}

# install_missing run|test
install_missing() {
  local wanted package packages
  command -v dpkg-query >/dev/null || {
    say "This is no Debian: please see to the packages of docs/decisions/0002-dependencies.md."
    return 0
  }
  mapfile -t wanted < <(wanted_packages "$1" | xargs -n 1)
  mapfile -t packages < <(missing "${wanted[@]}")
  if ((${#packages[@]} > 0)); then
    say "Missing on this machine, to be installed with apt-get (nothing is removed):"
    for package in "${packages[@]}"; do
      printf '  %-20s %s\n' "$package" "$(reason "$package")"
    done
    if ((EUID != 0)); then
      command -v sudo >/dev/null ||
        fail "no root and no sudo: please run apt-get install ${packages[*]}" 77
      sudo -v || fail "sudo is refused: please run apt-get install ${packages[*]}" 77
    fi
    step "package lists" apt update
    step "packages" install_packages "${packages[@]}"
  fi
  unpack_boost
}

# Boost 1.81 cannot be installed beside an older one: its headers are enough for us.
unpack_boost() {
  local folder=$root/build/boost
  (($(installed_boost) < 108100)) || return 0
  [[ ! -r $folder/usr/include/boost/version.hpp ]] || return 0
  say "The installed Boost is older than 1.81: its headers go into build/boost."
  mkdir -p "$folder"
  apt-cache show libboost1.81-dev >/dev/null 2>&1 || step "package lists" apt update
  step "headers of Boost" sh -c "cd '$folder' && apt-get download libboost1.81-dev &&
    dpkg -x libboost1.81-dev_*.deb . && rm libboost1.81-dev_*.deb"
}
