#!/bin/sh
# unit_file_test.sh UNIT PGCAST: systemd accepts the unit (with the path of the built binary in it)
# without a word, and its sandbox keeps its grade.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unit=$folder/pgcast.service
sed "s,^ExecStart=/usr/bin/pgcast ,ExecStart=$2 ," "$1" >"$unit"
grep -q "^ExecStart=$2 serve$" "$unit"

complaints=$(systemd-analyze verify --man=no "$unit" 2>&1) || status=$?
if [ "${status:-0}" -ne 0 ] || [ -n "$complaints" ]; then
  echo "systemd-analyze verify: $complaints"
  exit 1
fi

# In tenths: 1.5 is "OK", the best that serves TCP clients without a socket unit.
systemd-analyze security --offline=true --threshold=15 "$unit" >"$folder/grade" 2>&1 || {
  tail -n 3 "$folder/grade"
  exit 1
}
