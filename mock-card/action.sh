#!/usr/bin/env bash
# What action.yml runs: fetches mock-card of the release TAG from below RELEASES, compares its checksum, and puts it into PATH. The
# checksum tells of damage; whoever can change the release can change both.
set -euo pipefail

if [[ $(uname -s) != Linux ]]; then
    echo "::error::there is a mock-card for Linux only"
    exit 1
fi
if [[ $TAG != v[0-9]* ]]; then
    echo "::error::\"$TAG\" is no release: use this action at a release's tag, or give one as version"
    exit 1
fi
# Machines that stay keep it there; on others it is fetched each time, which takes no longer than a cache would.
folder=$RUNNER_TOOL_CACHE/mock-card/${TAG#v}/$(uname -m)
if [[ ! -x $folder/mock-card ]]; then
    archive=mock-card-${TAG#v}-$(uname -m)-unknown-linux-gnu.tar.gz
    fetched=$(mktemp -d)
    trap 'rm -rf "$fetched"' EXIT
    cd "$fetched"
    curl --fail --silent --show-error --location --retry 3 --remote-name-all "$RELEASES/$TAG/$archive" "$RELEASES/$TAG/SHA256SUMS"
    grep --fixed-strings "  $archive" SHA256SUMS | sha256sum --check --strict -
    mkdir unpacked
    tar --extract --gzip --file "$archive" --strip-components 1 --directory unpacked
    mkdir -p "$(dirname "$folder")"
    rm -rf "$folder"
    mv unpacked "$folder"
fi
"$folder/mock-card" --version
echo "$folder" >> "$GITHUB_PATH"
