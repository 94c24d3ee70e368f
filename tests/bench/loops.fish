# What fish does before each prompt, again and again. BENCH_TURN holds two commands, taken in turn before it:
# nothing at all, or a switch there and back. The numbers go to shells.py.

functions --erase __fish_enable_bracketed_paste # fish's own, which writes to the terminal

function bench_prompts
    for bench_round in (seq $argv[1])
        eval $BENCH_TURN[1]
        set -g BENCH_TURN $BENCH_TURN[2] $BENCH_TURN[1]
        emit fish_prompt
    end
end

function bench_time
    set -l bench_began (date +%s.%N)
    bench_prompts $argv[1]
    echo bench $bench_began (date +%s.%N)
end

function bench_pids
    sh -c 'echo bench-first $$'
    bench_prompts $argv[1]
    sh -c 'echo bench-last $$'
end
