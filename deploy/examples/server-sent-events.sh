#!/bin/sh
# Follows topics as server-sent events:
#   PGCAST_TOKEN=.. ./server-sent-events.sh session:sess-amara stats:care-assistants
# PGCAST_URL is another address than http://127.0.0.1:4000. With LAST_EVENT_ID (the last `id:` that
# came) it goes on from there.
set -eu

: "${PGCAST_TOKEN:?set it to a token: pgcast token --role service_role}"
if [ $# -eq 0 ]; then
  echo "usage: $0 TOPIC.." >&2
  exit 64
fi
url=${PGCAST_URL:-http://127.0.0.1:4000}/events

# --data-urlencode "topic=T" for each topic T.
for topic; do
  set -- "$@" --data-urlencode "topic=$topic"
  shift
done

# The token stands in no list of processes: curl reads the headers from its input.
{
  echo "Authorization: Bearer $PGCAST_TOKEN"
  [ -z "${LAST_EVENT_ID:-}" ] || echo "Last-Event-ID: $LAST_EVENT_ID"
} | exec curl -N --silent --show-error --fail-with-body --get --header @- "$@" "$url"
