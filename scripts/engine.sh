# Sourced in the project's folder: a Docker Engine with the base image, until the script ends.
stop() { scripts/docker.sh stop; }
trap stop EXIT
scripts/docker.sh start
scripts/base-image.sh
