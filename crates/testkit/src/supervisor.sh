# Runs one server for a test process, which writes commands to standard input and reads the answers from standard output.
# Standard input ends when the test process does, in whatever way: then the server and what it left behind go too.
#
# bash -c THIS NAME DIRECTORY LEFTOVERS SERVER-COMMAND…
#   DIRECTORY   the server's: its log goes there, and all of it is removed at the end
#   LEFTOVERS   paths outside of it that the server is known to leave, parted by blanks
set -u
set -m # each server leads a process group, so that one signal reaches its children
directory=$1
read -ra leftovers <<<"$2"
shift 2
server=

stop_server() {
  if [ -n "$server" ]; then
    kill -KILL -- "-$server" 2>/dev/null
    wait "$server" 2>/dev/null
    server=
  fi
}

# A handler, not '': what is ignored here would be ignored by the server as well.
trap : HUP INT TERM

while read -r command; do
  case $command in
    start)
      "$@" </dev/null >>"$directory/log" 2>&1 &
      server=$!
      echo started
      ;;
    end)
      kill -TERM -- "-$server"
      echo asked
      ;;
    kill)
      stop_server
      echo killed
      ;;
    look)
      if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then echo runs; else echo ended; fi
      ;;
  esac
done

stop_server
rm -rf -- "$directory" "${leftovers[@]}"
