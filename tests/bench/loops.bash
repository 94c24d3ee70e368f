# What bash does before each prompt, again and again. BENCH_TURN holds two commands, taken in turn before it:
# nothing at all, or a switch there and back. The numbers go to shells.py.

bench_prompts() {
  local bench_round bench_hook
  for ((bench_round = 0; bench_round < $1; bench_round++)); do
    eval "${BENCH_TURN[bench_round % 2]}"
    for bench_hook in "${PROMPT_COMMAND[@]}"; do eval "$bench_hook"; done
  done
}

bench_time() {
  local bench_began=$EPOCHREALTIME
  bench_prompts "$1"
  echo "bench $bench_began $EPOCHREALTIME"
}

bench_pids() {
  sh -c 'echo bench-first $$'
  bench_prompts "$1"
  sh -c 'echo bench-last $$'
}
