# Sets TF_CONFIG from a worker's index; to be sourced by bash.
#
#   NUM_WORKERS=4 ADDRESS='bbh-worker-0-%d.bbh:2222' JOB_COMPLETION_INDEX=0
#
# In ADDRESS %d stands for the index. Kubernetes sets JOB_COMPLETION_INDEX in the pods of a JobSet.
addresses=
for ((i = 0; i < ${NUM_WORKERS:?}; i++)); do
  addresses+="${addresses:+, }\"$(printf "${ADDRESS:?}" "$i")\""
done
export TF_CONFIG="{\"cluster\": {\"worker\": [$addresses]}, \"task\": {\"type\": \"worker\", \"index\": ${JOB_COMPLETION_INDEX:?}}}"
