# Sets TF_CONFIG in a task of Slurm's srun; to be sourced by bash.
#
#   HOSTS='node1 node2'   of the job, as `scontrol show hostnames` gives them, one task on each
#   SLURM_PROCID          this task's index, set by srun
#   PORT                  default: 20000 to 29999, by the job's number
port=${PORT:-$((20000 + ${SLURM_JOB_ID:-0} % 10000))}
addresses=
for host in ${HOSTS:?}; do
  addresses+="${addresses:+, }\"$host:$port\""
done
export TF_CONFIG="{\"cluster\": {\"worker\": [$addresses]}, \"task\": {\"type\": \"worker\", \"index\": ${SLURM_PROCID:?}}}"
