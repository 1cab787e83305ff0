# Read by the steps (. ci/common.sh): go to the repository's root, find the Python that has the test extra.
set -eu
cd "$(dirname "$0")/.."
for python in "${PYTHON:-}" .venv/bin/python .venv/Scripts/python.exe python3; do
    if [ -n "$python" ] && command -v "$python" >/dev/null 2>&1; then
        break
    fi
done
