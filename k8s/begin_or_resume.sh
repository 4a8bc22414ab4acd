#!/usr/bin/env bash
# Start a study, or resume it where an earlier attempt stopped. Runs on the head of a search's cluster.
#
# Run:
#     k8s/begin_or_resume.sh STUDY TRIALS [OPTIONS of experiments/tune.py for a new study]
#
# Reads from the environment: RAYGENRE_STORAGE and, if set, STUDY_URL, CPUS_PER_TRIAL, GPUS_PER_TRIAL and ADDRESS.
set -euo pipefail
study=$1 trials=$2
shift 2
place=(--address "${ADDRESS:-auto}" --study "$study" --trials "$trials")
[[ -z "${STUDY_URL:-}" ]] || place+=(--study-url "$STUDY_URL")
[[ -z "${CPUS_PER_TRIAL:-}" ]] || place+=(--cpus-per-trial "$CPUS_PER_TRIAL")
[[ -z "${GPUS_PER_TRIAL:-}" ]] || place+=(--gpus-per-trial "$GPUS_PER_TRIAL")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exists=$(python -m k8s.study_exists "$study")
if [[ "$exists" == yes ]]; then
	exec python experiments/tune.py --resume "${place[@]}"
fi
exec python experiments/tune.py "${place[@]}" "$@"
