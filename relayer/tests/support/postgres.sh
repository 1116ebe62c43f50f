# usage: postgres.sh BIN FOLDER   a PostgreSQL server of a test's own, told what to do on standard input until that ends
set -eu
bin=$1 folder=$2 server=
exec 2>>"$folder/log"

start() {
  "$bin/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c max_connections=100 -c shared_buffers=32MB \
    -c max_wal_size=64MB "$@" >>"$folder/log" 2>&1 </dev/null &
  server=$!
  until "$bin/pg_isready" -q -h "$folder" -d postgres; do
    kill -0 "$server" 2>/dev/null || { echo failed; return; }
    sleep 0.02
  done
  echo started
}

stop() {
  [ -z "$server" ] || { kill "-$1" "$server" 2>/dev/null || true; wait "$server" || true; }
  server=
}

# All of its processes at once, as when a machine loses its power: one that outlives the first would still write.
crash() {
  all="$server $(pgrep -P "$server" | tr '\n' ' ')"
  kill -KILL $all 2>/dev/null || true
  wait "$server" || true
  for process in $all; do
    while kill -0 "$process" 2>/dev/null; do sleep 0.01; done
  done
  rm -f "$folder/data/postmaster.pid"
  server=
}

"$bin/initdb" -D "$folder/data" -U steam -A trust -E UTF8 --locale=C --no-sync --no-instructions >>"$folder/log"
start
while read -r word rest; do
  case $word in
    start) start $rest ;;
    stop) stop INT; echo stopped ;;
    crash) crash; echo stopped ;;
    freeze) kill -STOP $(pgrep -P "$server") "$server"; echo frozen ;;
    thaw) kill -CONT "$server" $(pgrep -P "$server"); echo thawed ;;
  esac
done
stop QUIT
rm -rf "$folder"
