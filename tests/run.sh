#!/bin/bash
# run.sh unit|host|e2e|vllm|all [UNIT-TEST...]: runs suites, shows what they say, adds up what really ran.
# The last line is "N passed, N failed, N skipped"; counts per suite are left in build/results/ for .ci/run.
set -u
cd "$(dirname "$0")/.." || exit 1
what=$1
shift
python=${PYTHON:-/usr/bin/python3}
results=build/results
mkdir -p "$results"
failed_suites=0

# count SUITE PASSED FAILED SKIPPED
count() {
	echo "$2 $3 $4" > "$results/$1"
	[ "$3" = 0 ] || failed_suites=$((failed_suites + 1))
}

# A cmocka program says "[  PASSED  ] N test(s)." and so on; one that died counts as one failure.
cmocka() {
	local suite=$1 passed=0 failed=0 skipped=0 t out rc p f s
	shift
	for t in "$@"; do
		out=$("$t" 2>&1)
		rc=$?
		p=$(grep -c '^\[       OK \]' <<< "$out")
		f=$(grep -c '^\[  FAILED  \] [a-z_0-9]*$' <<< "$out")
		s=$(grep -c '^\[  SKIPPED \] [a-z_0-9]*$' <<< "$out")
		# The list of names at the end repeats them.
		f=$(((f + 1) / 2))
		s=$(((s + 1) / 2))
		if [ $rc != 0 ]; then
			echo "$out" | tail -n 40
			[ "$f" != 0 ] || f=1
		fi
		echo "$(basename "$t"): $p passed, $f failed, $s skipped"
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	done
	count "$suite" $passed $failed $skipped
}

# A script that exits 0 is one passed test, 77 a skipped one.
script() {
	local suite=$1
	shift
	"$@"
	case $? in
	0) count "$suite" 1 0 0 ;;
	77) count "$suite" 0 0 1 ;;
	*) count "$suite" 0 1 0 ;;
	esac
}

pytest() {
	local suite=$1 log=build/results/$1.log line
	shift
	"$python" -m pytest -q -rs -p no:cacheprovider "$@" 2>&1 | tee "$log"
	line=$(grep -aE '[0-9]+ (passed|failed|skipped|error)' "$log" | tail -n 1)
	n() { grep -oE "[0-9]+ $1" <<< "$line" | grep -oE '[0-9]+' || echo 0; }
	if [ -z "$line" ]; then
		count "$suite" 0 1 0
	else
		count "$suite" "$(n passed)" "$(($(n failed) + $(n error)))" "$(n skipped)"
	fi
}

# Interpreters of the end-to-end tests: this Debian's and, unless RT_PYTHONS names others, 3.13 of trixie.
e2e() {
	local cache=${XDG_CACHE_HOME:-$HOME/.cache}/ramtrack-bpf/python3.13
	if [ -z "${RT_PYTHONS:-}" ]; then
		RT_PYTHONS=/usr/bin/python3
		if tests/e2e/fetch_python.sh trixie 3.13 "$cache"; then
			RT_PYTHONS=$RT_PYTHONS:chroot:$cache/root:/usr/bin/python3.13
		else
			echo "e2e: without CPython 3.13 (reason above)"
		fi
		export RT_PYTHONS
	fi
	pytest e2e tests/e2e
}

unit() {
	cmocka unit "$@"
	script python_truth "$python" tests/unit/compare_python.py build/san/pyprobe
	script native_truth "$python" tests/unit/compare_native.py build/nativeprobe
	script layouts "$python" tests/unit/check_pyoff.py --require 3.11
}

case $what in
unit) unit "$@" ;;
host) cmocka host build/host/test_walk build/host/test_walk_old ;;
e2e) e2e ;;
vllm) pytest vllm tests/vllm ;;
all)
	unit "$@"
	cmocka host build/host/test_walk build/host/test_walk_old
	e2e
	;;
*)
	echo "run.sh: $what: no such suite" >&2
	exit 2
	;;
esac

total() {
	local p=0 f=0 s=0 a b c r
	for r in "$@"; do
		[ -f "$results/$r" ] || continue
		read -r a b c < "$results/$r"
		p=$((p + a)) f=$((f + b)) s=$((s + c))
	done
	echo "$p passed, $f failed, $s skipped"
}
case $what in
unit) total unit python_truth native_truth layouts ;;
all) total unit python_truth native_truth layouts host e2e ;;
*) total "$what" ;;
esac
exit "$((failed_suites > 0))"
