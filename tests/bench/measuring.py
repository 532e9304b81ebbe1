"""What the scripts beside this one share: running a shell script, and what it took."""
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PROGRAM = TOP / "target/release/stream-layered"


def machine():
    """The processors, and whether they have instructions for SHA-256."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", text, re.M)
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.M)
    has_sha = flags and {"sha_ni", "sha2"} & set(flags[1].split())
    return (f"{os.cpu_count()} processors, {model[1].strip() if model else 'of an unknown kind'}, "
            f"{'with' if has_sha else 'without'} SHA instructions")


def measure(script, work, mount=None):
    """Wall and CPU seconds, and the largest process' peak memory in bytes, of a shell script, which
    sees `mount`/nix at /nix."""
    mounting = f"mount --bind {shlex.quote(str(mount))}/nix /nix && " if mount else ""
    # GNU time, and not wait4() here: the kernel counts a child's peak from before its exec, when it
    # shares this process's memory, and no program would ever need less than this one.
    figures = work / "figures"
    time_it = ["time", "--format", "%U %S %M", "--output", str(figures), "bash", "-o", "pipefail", "-c", script]
    start = time.perf_counter()
    run = subprocess.run(["unshare", "-m", "bash", "-ec", f"{mounting}exec {shlex.join(time_it)}"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wall = time.perf_counter() - start
    if run.returncode:
        sys.exit(f"failed: {script}\n{run.stderr.decode()}")
    user, system, peak = figures.read_text().split()
    return wall, float(user) + float(system), int(peak) * 1024


def medians(rows):
    """The median of each column."""
    return [statistics.median(column) for column in zip(*rows)]


def configure(arguments, work):
    """work/conf.json for nixpkgs' streamer, with the layers that stream-layered plans; gives the paths."""
    layers = json.loads(subprocess.check_output([PROGRAM, "plan", "--format", "layers", *arguments]))
    top = work / "customisation"
    top.mkdir(exist_ok=True)
    (top / "layer.tar").write_bytes(bytes(10240))
    (top / "checksum").write_text("84ff92691f909a05b224e1c56abb4864f01b4f8e3c854e4bb4c7baf1d3f6d652\n")
    time_text = "1970-01-01T00:00:01+00:00"
    (work / "conf.json").write_text(json.dumps({
        "architecture": "amd64", "config": {}, "os": "linux", "store_dir": "/nix/store", "from_image": None,
        "store_layers": layers, "customisation_layer": str(top), "repo_tag": "stream-layered-bench:latest",
        "created": time_text, "mtime": time_text, "uid": "0", "gid": "0", "uname": "root", "gname": "root",
    }))
    return [path for layer in layers for path in layer]
