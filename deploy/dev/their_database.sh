# shellcheck shell=bash disable=SC2034,SC2154  # names are shared with ./dev
# The database of PGCAST_DATABASE_URL: nothing changes there without a yes.
# Part of ./dev, which reads it.

psql_environment=()

# Keeps a password out of the process list: psql gets it through the environment.
hide_password() {
  local url=$1 password
  if [[ $url =~ ^(postgres(ql)?://[^:@/?]*):([^@]*)@(.*)$ ]]; then
    password=${BASH_REMATCH[3]//\\/\\\\}
    password=$(printf '%b' "${password//%/\\x}")
    url=${BASH_REMATCH[1]}@${BASH_REMATCH[4]}
  elif [[ $url =~ ^(.*[[:space:]]|)password[[:space:]]*=[[:space:]]*([^\'[:space:]]+)(.*)$ ]]; then
    password=${BASH_REMATCH[2]}
    url=${BASH_REMATCH[1]}${BASH_REMATCH[3]}
  else
    public_url=$url
    return 0
  fi
  psql_environment=("PGPASSWORD=$password")
  public_url=$url
}

# psql_theirs ARGUMENT...
psql_theirs() {
  env "${psql_environment[@]}" psql -X -q -v ON_ERROR_STOP=1 "$@" "$public_url"
}

load_sample_data() {
  local tables
  # The schemas that a new Supabase project is born with do not count.
  tables=$(psql_theirs -At -c "select count(*) from pg_class c join pg_namespace n
    on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname !~ '^(pg_|_?realtime$|supabase_|graphql|information_schema$)' and n.nspname
    not in ('pgcast', 'auth', 'storage', 'vault', 'extensions', 'net', 'cron')") || fail "the database cannot be reached" 69
  [[ $tables == 0 ]] || fail "--demo needs an empty database, this one has $tables tables" 65
  say "Loading the sample data."
  psql_theirs -1 -f "$root/deploy/demo/schema.sql" -f "$root/deploy/demo/rls.sql" \
    -f "$root/deploy/demo/data.sql" >/dev/null || fail "the sample data cannot be loaded" 65
}

# prepare_their_database YES DEMO: the flags, each yes or no.
prepare_their_database() {
  local yes=$1 demo=$2 installed answer=n
  hide_password "$PGCAST_DATABASE_URL"
  installed=$(psql_theirs -At -c "select to_regclass('pgcast.meta') is not null") ||
    fail "the database of PGCAST_DATABASE_URL cannot be reached" 69
  if [[ $yes == yes ]]; then
    answer=y
  elif [[ $installed == t ]]; then
    answer=
  elif [[ -t 0 ]]; then
    say "pgcast needs its schema and triggers in that database (pgcast install --dry-run shows them)."
    read -r -p "Apply them now? [y/N] " answer || answer=n
    [[ $answer == [yY]* ]] || answer=n
  fi
  [[ $answer != [nN]* ]] ||
    fail "pgcast is not installed in that database and needs a yes (or --yes)" 78
  [[ $demo == no ]] || load_sample_data
  [[ $answer != [yY]* ]] || "$binary" install
}
