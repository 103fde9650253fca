#!/usr/bin/env bash
# Makes sure that the Docker Engine has `debian:bookworm-slim`, from a registry or, where none answers, from Debian's
# packages. What was made once is kept as a tarball under target/lab, so another engine (DOCKER_HOST) has it in seconds.
set -euo pipefail

readonly IMAGE=debian:bookworm-slim
readonly FOLDER=${CUTOVER_LAB:-$(cd "$(dirname "$0")/.." && pwd)/target/lab}/base
readonly TARBALL=$FOLDER/bookworm-slim.tar
readonly PULL_LIMIT=10 # seconds

die() {
  echo "base image: $*" >&2
  exit 1
}

# What the official slim image leaves out, too.
readonly LEFT_OUT=(./dev/* ./proc/* ./sys/* ./var/cache/apt/* ./var/lib/apt/lists/* ./var/log/*
  ./usr/share/doc/* ./usr/share/info/* ./usr/share/locale/* ./usr/share/man/*)

bootstrap() {
  local work log
  ((EUID == 0)) || die "no registry answers, and only root can make $IMAGE with debootstrap"
  mkdir -p "$FOLDER"
  work=$(mktemp -d "$FOLDER/bootstrap.XXXXXX")
  # shellcheck disable=SC2064 # the value of now is meant
  trap "rm -rf '$work'" EXIT
  log=$FOLDER/debootstrap.log
  echo "base image: no registry answers; making $IMAGE from Debian's packages (about 30 s)"
  # With a mirror argument that is absent, debootstrap takes Debian's own.
  if ! debootstrap --variant=minbase bookworm "$work/root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$log" 2>&1; then
    tail -n 10 "$log" >&2
    die "debootstrap failed; its whole log is $log"
  fi
  tar --create --directory "$work/root" --numeric-owner "${LEFT_OUT[@]/#/--exclude=}" --file "$work/image.tar" .
  # Renamed at the end, so that two runs at once and a run that was killed leave a whole tarball or none.
  mv "$work/image.tar" "$TARBALL"
}

docker image inspect "$IMAGE" >/dev/null 2>&1 && exit
docker version >/dev/null 2>&1 || die "no Docker Engine answers; run scripts/docker.sh start"
if [[ ! -e $TARBALL ]]; then
  timeout "$PULL_LIMIT" docker pull --quiet "$IMAGE" >/dev/null 2>&1 && exit
  bootstrap
fi
docker import --change 'CMD ["bash"]' "$TARBALL" "$IMAGE" >/dev/null
