#!/usr/bin/env bash
# The peer: Debian's Slurm on loopback, 4 nodes x 32 slots, kept light (no accounting, no cgroups). Needs root.
#   bench/peers/slurm.sh start FOLDER default|tuned    prints "SLURM_CONF=..." when jobs can be submitted
#   bench/peers/slurm.sh stop FOLDER
# Packages: slurm-wlm munge. Slurm 22.05 is old; newer versions may differ.
set -euo pipefail

folder=${2:?folder}
conf=$folder/slurm.conf

write_conf() {
  local host tuned=""
  host=$(hostname -s)
  if [[ $1 == tuned ]]; then
    tuned="SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_max_job_start=0,default_queue_depth=1000,bf_continue,bf_max_job_test=1000"
  fi
  cat >"$conf" <<CONF
ClusterName=bench
SlurmctldHost=$host(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=16817
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/ctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/ctld.log
SlurmdLogFile=$folder/slurmd-%n.log
SlurmctldDebug=error
SlurmdDebug=error
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MaxJobCount=250000
MaxArraySize=10001
ReturnToService=2
MinJobAge=300
InactiveLimit=0
KillWait=5
$tuned
CONF
  for i in 1 2 3 4; do
    echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((17000 + i)) CPUs=32 RealMemory=6000" >>"$conf"
  done
  echo "PartitionName=main Nodes=n[1-4] Default=YES MaxTime=INFINITE State=UP" >>"$conf"
}

start() {
  mkdir -p "$folder/state" /run/munge
  for i in 1 2 3 4; do mkdir -p "$folder/spool-n$i"; done
  if [[ ! -s /etc/munge/munge.key ]]; then
    (umask 077 && head -c 1024 /dev/urandom >/etc/munge/munge.key)
    chown munge: /etc/munge/munge.key
  fi
  munged --force --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munged.seed" 2>/dev/null
  write_conf "$1"
  slurmctld -c -f "$conf"
  for i in 1 2 3 4; do slurmd -f "$conf" -N "n$i"; done
  export SLURM_CONF=$conf
  for _ in $(seq 100); do
    if [[ $(sinfo -h -t idle -o %D 2>/dev/null) == 4 ]]; then echo "SLURM_CONF=$conf"; return; fi
    sleep 0.2
  done
  echo "error: the four nodes did not become idle; see $folder/*.log" >&2
  exit 1
}

stop() {
  for pid in "$folder"/*.pid; do
    [[ -s $pid ]] && kill "$(cat "$pid")" 2>/dev/null || true
  done
  sleep 1
  for pid in "$folder"/*.pid; do
    [[ -s $pid ]] && kill -9 "$(cat "$pid")" 2>/dev/null || true
  done
  rm -rf "$folder"
}

case "${1:?start or stop}" in
  start) start "${3:-default}" ;;
  stop) stop ;;
  *) echo "usage: bench/peers/slurm.sh start|stop FOLDER [default|tuned]" >&2; exit 2 ;;
esac
