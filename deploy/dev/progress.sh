# shellcheck shell=bash disable=SC2034,SC2154  # names are shared with ./dev
# What a long command does, and for how long.
# Part of ./dev, which reads it.

ticker=

# Shows what a command does and for how long: on a terminal a line that moves, else a line now and
# then. Reads the command's log.
show_progress() {
  local title=$1 log=$2 start=$SECONDS last
  exec 8<> <(:)  # nothing ever comes: a pause without a process that could be left behind
  if [[ -t 1 ]]; then
    while ! read -r -t 0.3 -u 8; do
      last=$(tail -c 400 "$log" | tr '\r' '\n' | tail -n 1 | tr -cd '[:print:]')
      printf '\r\033[K%s  %d s  %.60s' "$title" $((SECONDS - start)) "$last"
    done
  else
    while ! read -r -t 15 -u 8; do
      last=$(tail -n 1 "$log")
      printf '%s  %d s  %.100s\n' "$title" $((SECONDS - start)) "$last"
    done
  fi
}

stop_progress() {
  [[ -n $ticker ]] || return 0
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  ticker=
  [[ ! -t 1 ]] || printf '\r\033[K'
}

# step TITLE COMMAND...: runs it out of sight; on failure shows the end of what it said.
step() {
  local title=$1 start=$SECONDS log=$root/build/log/${1//[^a-z]/-}.log status=0
  shift
  mkdir -p "$root/build/log"
  : >"$log"
  [[ -t 1 ]] || say "$title ..."
  show_progress "$title" "$log" 9>&- &
  ticker=$!
  "$@" >"$log" 2>&1 </dev/null || status=$?
  stop_progress
  if ((status != 0)); then
    tail -n 60 "$log" >&2
    fail "$title: failed after $((SECONDS - start)) s; all of it is in ${log#"$root"/}" "$status"
  fi
  say "$title: done in $((SECONDS - start)) s"
}
