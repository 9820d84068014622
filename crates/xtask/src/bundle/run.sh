#!/bin/sh
# Holds a machine to what the CPU computes, and keeps what was measured. Needs the NVIDIA driver and nothing else.
#
#   OUT=results ./run.sh [--device cuda|cpu|emulated] [--steps doctor,selftest,train,bench,sanitizer] [--minutes 10]
#                        [--small]
#
# Each step leaves what it printed, and JSON where it has any, in $OUT; summary.json and the table at the end have one
# line for each. A step that does not end in its time, or for which none is left, has `no time`; one whose tool is not
# installed has `no tool`. Exit code 1 if a step failed, 3 if none did but one had no time, else 0.
set -u
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}
export PATH
LC_ALL=C
export LC_ALL

here=$(cd "$(dirname "$0")" && pwd)
program=$here/warpsmith
OUT=${OUT:-$here/results}
device=cuda
steps=doctor,selftest,train,bench,sanitizer
minutes=10
small=
while [ $# -gt 0 ]; do
    case $1 in
        --small) small=--small; shift; continue ;;
        --device) device=${2:?a device} ;;
        --steps) steps=${2:?names of steps} ;;
        --minutes) minutes=${2:?a number} ;;
        *) echo "run.sh: no option is called $1; the head of the file says what there is" >&2; exit 2 ;;
    esac
    shift 2 || exit 2
done
mkdir -p "$OUT" || exit 1
began=$(date +%s)
: > "$OUT/summary.rows"

left() { echo $((minutes * 60 - ($(date +%s) - began))); }

# row NAME RESULT SECONDS NOTE: one line of the table.
row() {
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >> "$OUT/summary.rows"
    echo "$1: $2 ${4:+($4)}" >&2
}

# step NAME SECONDS COMMAND...: runs it for at most so long, or as long as there is time; sets $result.
step() {
    name=$1 limit=$2
    shift 2
    have=$(left)
    [ "$have" -lt "$limit" ] && limit=$have
    if [ "$limit" -lt 5 ]; then
        result='no time' took=0
        return
    fi
    start=$(date +%s)
    if command -v timeout > /dev/null; then set -- timeout -k 5 "$limit" "$@"; fi
    "$@" > "$OUT/$name.out" 2> "$OUT/$name.err"
    case $? in
        0) result=passed ;;
        124 | 137) result='no time' ;;
        *) result=FAILED ;;
    esac
    took=$(($(date +%s) - start))
}

# number KEY FILE: the first number that the JSON has under the key.
number() { sed -n "s/.*\"$1\": *\([0-9.eE+-]*\).*/\1/p" "$2" 2> /dev/null | head -n 1; }
# text KEY FILE: the first string that the JSON has under the key.
text() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$2" 2> /dev/null | head -n 1; }
# why NAME: the last line of what a step complained of.
why() { tail -n 1 "$OUT/$1.err" | cut -c 1-100 | tr '\t' ' '; }

run_doctor() {
    step doctor 30 "$program" doctor --json
    cp "$OUT/doctor.out" "$OUT/doctor.json"
    missing=$(text cuda_missing "$OUT/doctor.json")
    if [ "$device" = cuda ] && [ -n "$missing" ]; then result=FAILED; fi
    row doctor "$result" "$took" "${missing:-$(text name "$OUT/doctor.json")}"
}

run_selftest() {
    [ "$device" = emulated ] && small=--small
    step selftest 240 "$program" selftest --device "$device" $small --json
    cp "$OUT/selftest.out" "$OUT/selftest.json"
    note="$(number cases "$OUT/selftest.json") cases"
    [ "$result" = FAILED ] && note=$(why selftest)
    row selftest "$result" "$took" "$note"
}

# train NAME FLAGS...: the same 200 steps, whatever computes them.
train() {
    name=train-$1
    shift
    rm -rf "$OUT/$name"
    step "$name" 90 "$program" train --n_layer 4 --n_head 4 --n_embd 128 --block_size 64 --batch_size 12 --dropout 0 \
        --max_iters "$iterations" --lr_decay_iters "$iterations" --warmup_iters 20 --eval_interval "$iterations" \
        --eval_iters 4 --log_interval 1 --sample_tokens 1 --out_dir "$OUT/$name" "$@"
    losses "$OUT/$name" > "$OUT/$name.losses"
    [ "$result" = passed ] && [ ! -s "$OUT/$name.losses" ] && result=FAILED
    note="loss $(tail -n 1 "$OUT/$name.losses" | cut -d ' ' -f 2)"
    [ "$result" = FAILED ] && note=$(why "$name")
    row "$name" "$result" "$took" "$note"
}

losses() { sed -n 's/^{"step":\([0-9]*\),.*"train\/loss":\([^,}]*\).*/\1 \2/p' "$1/log.jsonl" 2> /dev/null; }

# same NAME ONE OTHER EARLY LATE: whether two runs lose alike: by at most EARLY of the loss in the first ten steps, and
# by at most LATE in all. Rounding grows as a model learns, so the beginning is held to more than the end.
same() {
    start=$(date +%s)
    [ -s "$OUT/$2.losses" ] && [ -s "$OUT/$3.losses" ] || return
    note=$(awk -v early="$4" -v late="$5" '
        NR == FNR { loss[$1] = $2; steps++; next }
        { if (!($1 in loss) || $2 + 0 != $2) { bad++; next }
          seen++; gap = $2 - loss[$1]; if (gap < 0) gap = -gap; gap /= loss[$1]
          if ($1 <= 10 && gap > first) first = gap
          if (gap > all) all = gap }
        END { printf "apart by %.1e in 10 steps, %.1e in %d", first, all, seen
              exit bad > 0 || seen != steps || first > early || all > late }' "$OUT/$2.losses" "$OUT/$3.losses")
    if [ $? -eq 0 ]; then result=passed; else result=FAILED; fi
    row "$1" "$result" "$(($(date +%s) - start))" "$note"
}

run_train() {
    iterations=200
    # The second step is recorded, so the third is the first that is only replayed.
    [ "$device" = emulated ] && iterations=3
    train cpu --device cpu
    [ "$device" = cpu ] && return
    train eager --device "$device" --compile false
    same 'eager = cpu' train-cpu train-eager 1e-4 2e-2
    train captured --device "$device" --compile true
    same 'captured = eager' train-eager train-captured 0 0
}

run_bench() {
    preset=gpt2 peer=
    [ "$device" = emulated ] && preset=tiny
    if [ "$device" = cuda ] && python3 -c 'import torch' > /dev/null 2>&1; then peer='--vs torch'; fi
    for task in attention matmul softmax norm cross-entropy adamw; do
        step "bench-$task" 40 "$program" bench "$task" --preset "$preset" --dtype f32,bf16 --device "$device" \
            --output json $peer
        cp "$OUT/bench-$task.out" "$OUT/bench-$task.json" 2> /dev/null
        note=$preset${peer:+, beside PyTorch}
        [ "$result" = FAILED ] && note=$(why "bench-$task")
        row "bench-$task" "$result" "$took" "$note"
    done
}

run_sanitizer() {
    if [ "$device" != cuda ]; then return; fi
    sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2> /dev/null | tail -n 1)
    if [ -z "$sanitizer" ]; then
        row sanitizer 'no tool' 0 'compute-sanitizer is not installed'
        return
    fi
    # Each block an allocation of its own, so that the tool sees its bounds.
    WARPSMITH_ARENA=off
    export WARPSMITH_ARENA
    for tool in memcheck racecheck initcheck synccheck; do
        step "$tool" 75 "$sanitizer" --tool "$tool" --error-exitcode 7 --launch-timeout 0 \
            "$program" selftest --device cuda --small --check values --json
        note=$(grep -h 'ERROR SUMMARY\|RACECHECK SUMMARY' "$OUT/$tool.out" "$OUT/$tool.err" | tail -n 1 | tr -d '=')
        row "$tool" "$result" "$took" "$note"
    done
    unset WARPSMITH_ARENA
}

for one in $(echo "$steps" | tr ',' ' '); do
    case $one in
        doctor | selftest | train | bench | sanitizer) "run_$one" ;;
        *) echo "run.sh: no step is called $one" >&2; exit 2 ;;
    esac
done

# count RESULT: how many steps ended so.
count() { cut -f 2 "$OUT/summary.rows" | grep -c -x "$1"; }
failed=$(count FAILED) unfinished=$(count 'no time')
{
    printf '{"commit": "%s", "date": "%s", "device": "%s", "gpu": "%s", "driver": "%s", "failed": %s, "no_time": %s, ' \
        "$(cat "$here/COMMIT")" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$device" "$(text name "$OUT/doctor.json")" \
        "$(text nvidia_driver "$OUT/doctor.json")" "$failed" "$unfinished"
    printf '"steps": [\n'
    sed 's/[\\"]/\\&/g' "$OUT/summary.rows" | awk -F '\t' '{
        printf "%s{\"name\": \"%s\", \"result\": \"%s\", \"seconds\": %s, \"note\": \"%s\"}", sep, $1, $2, $3, $4
        sep = ",\n" } END { print "\n]}" }'
} > "$OUT/summary.json"
echo
awk -F '\t' '{ printf "%-18s %-9s %4s s  %s\n", $1, $2, $3, $4 }' "$OUT/summary.rows"
took=$(($(date +%s) - began))
echo "$failed failed, $unfinished had no time, $took s, commit $(cat "$here/COMMIT"), results in $OUT"
[ "$failed" -gt 0 ] && exit 1
[ "$unfinished" -gt 0 ] && exit 3
exit 0
