#!/usr/bin/env bash
# What docs/tutorial.md says, as a new user does it: a fresh environment, the wheel, no checkout.
#
#     tests/first_hour.sh [FOLDER]
#
# Prints the CPU seconds of every step, and leaves report.html and its screenshots in FOLDER, a new
# one by default. Needs pip's usual sources for the libraries, and Chromium for the last step.
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
folder=${1:-$(mktemp -d)}
mkdir -p "$folder" && folder=$(cd "$folder" && pwd)
table=$folder/steps.txt
: > "$table"
unset PYTHONPATH VIRTUAL_ENV
export PIP_DISABLE_PIP_VERSION_CHECK=1 MPLBACKEND=Agg

# step NAME COMMAND...: run it, and note its seconds of processor and of clock.
step() {
    local name=$1; shift
    echo "== $name: $*" >&2
    local TIMEFORMAT='%U %S %R' seconds
    { seconds=$( { time "$@" 1>&3 2>&4; } 2>&1 ); } 3>&1 4>&2 || { echo "failed: $name" >&2; exit 1; }
    awk -v name="$name" '{printf "%-42s %7.1f s CPU %7.1f s\n", name, $1 + $2, $3}' \
        <<< "$seconds" | tee -a "$table"
}

# The wheel is made from a copy, so that nothing is left in the checkout.
copy=$folder/copy
mkdir -p "$copy"
(cd "$checkout" && tar c README.md LICENSE pyproject.toml sifnet atmorep_bridge data) | tar x -C "$copy"
step "wheel" "$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder/wheel" "$copy"
rm -rf "$copy"
cd "$folder"

step "python -m venv sif" "$python" -m venv sif
step "pip install torch" sif/bin/pip install --quiet torch==2.13.0
step "pip install sifnet" sif/bin/pip install --quiet wheel/sifnet-*.whl
step "import of the core" sif/bin/python -c 'from sifnet import Scene, Sensor, load, open_scene, retrieve'
step "import of torch and xarray alone" sif/bin/python -c 'import torch, xarray'
step "sifnet --help" sif/bin/sifnet --help
step "sifnet demo" sif/bin/sifnet demo -o first
scene=(first/*_radiance.hdr)
step "sifnet inspect" sif/bin/sifnet inspect "${scene[0]}"

# Every Python block of the tutorial, in order; one that needs what is not here yet is left out.
sif/bin/python - "$checkout/docs/tutorial.md" > tutorial.py <<'END'
import re, sys
text = open(sys.argv[1], encoding="utf-8").read()
for needs, code in re.findall(r"(?:<!-- needs: (.*?) -->\n)?```python\n(.*?)```", text, re.DOTALL):
    body = "".join(f"    {line}\n" for line in code.splitlines())
    print(f"if {needs}:\n{body}" if needs else code)
END
step "the map in Python" sif/bin/python tutorial.py
step "sifnet retrieve" sif/bin/sifnet retrieve "${scene[0]}" -o maps
step "sifnet evaluate" sif/bin/sifnet evaluate maps/*_sif.nc --truth first/truth.nc

report=fitted/report.html
if sif/bin/sifnet report --help > /dev/null 2>&1; then
    report=report.html
    step "sifnet report" sif/bin/sifnet report maps/*_sif.nc -o "$report"
fi

if sif/bin/sifnet fit "${scene[0]}" -o fitted 2> missing.txt; then
    echo "a fit needs the extra train, which is not installed, and ran" >&2; exit 1
fi
grep -q "pip install 'sifnet\[train\]'" missing.txt
step "pip install 'sifnet[train]'" sif/bin/pip install --quiet "$(echo wheel/sifnet-*.whl)[train]"
step "sifnet fit" sif/bin/sifnet fit "${scene[0]}" -o fitted

step "report in Chromium" "$python" "$checkout/tests/first_hour_browser.py" "$report" .
echo
cat "$table"
echo "Left in $folder: $report, report_opened.png, report_clicked.png"
