#!/bin/sh
# A real Slurm of one node on this machine, also in a container without systemd and cgroups:
#
#   tests/slurm_one_node.sh start DIR    installs Debian's slurm-wlm and munge where they are absent
#   export SLURM_CONF=DIR/slurm.conf     for sbatch, srun, squeue
#   tests/slurm_one_node.sh stop DIR
#
# As root. All that it writes is in DIR; the machine's own Slurm, if it has one, is not touched.
set -eu
[ $# -eq 2 ] || { echo "usage: $0 start|stop DIR" >&2; exit 2; }
action=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
name=$(hostname -s)

stop() {
    for daemon in slurmctld slurmd munged; do
        [ -s "$dir/$daemon.pid" ] || continue
        pid=$(cat "$dir/$daemon.pid")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        rm -f "$dir/$daemon.pid"
    done
}

install() {
    missing=
    for package in sbatch:slurm-wlm munged:munge; do
        command -v "${package%%:*}" >/dev/null || missing="$missing ${package##*:}"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || { echo "no apt-get to install$missing with" >&2; exit 3; }
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$dir/apt.log" 2>&1 ||
        { tail -3 "$dir/apt.log" >&2; exit 3; }
}

configure() {
    # Two cores or more, whatever the machine has: what is tried is Slurm, not its speed.
    cores=$(nproc)
    [ "$cores" -ge 2 ] || cores=2
    mkdir -p "$dir/state" "$dir/spool"
    [ -f "$dir/munge.key" ] || head -c 1024 /dev/urandom >"$dir/munge.key"
    chmod 755 "$dir"
    chmod 400 "$dir/munge.key"
    cat >"$dir/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$name(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
SlurmctldPort=26817
SlurmdPort=26818
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SchedulerParameters=sched_interval=2
MinJobAge=300
NodeName=$name NodeAddr=127.0.0.1 CPUs=$cores RealMemory=16384 State=UNKNOWN
PartitionName=batch Nodes=$name Default=YES MaxTime=INFINITE State=UP
CONF
}

start() {
    stop
    munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
        --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munge.seed"
    slurmctld -c -f "$dir/slurm.conf"
    slurmd -c -f "$dir/slurm.conf"
    export SLURM_CONF="$dir/slurm.conf"
    for _ in $(seq 300); do
        case $(sinfo -h -o %T 2>/dev/null) in idle) return ;; esac
        sleep 0.1
    done
    echo "Slurm does not come up: see $dir/*.log" >&2
    for log in "$dir"/*.log; do tail -n 3 "$log" >&2; done
    stop
    exit 1
}

case $action in
    start) install; configure; start; echo "$dir/slurm.conf" ;;
    stop) stop ;;
    *) echo "usage: $0 start|stop DIR" >&2; exit 2 ;;
esac
