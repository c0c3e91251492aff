#!/bin/sh
# Rebuilds the vendored libraries of the page from their npm packages, at the versions of VENDORED.md.
# Needs node and npm; run in any empty folder: sh build.sh OUTPUT_FOLDER
set -eu
out=$(cd "$1" && pwd)
work=$(mktemp -d)
cd "$work"
npm install --silent --no-fund --no-audit --ignore-scripts=false \
  esbuild@0.28.2 d3@7.9.2 @tanstack/virtual-core@3.19.11 diff@9.0.0

cat > d3.js <<'ENTRY'
export { axisBottom, axisLeft, format, max, min, scaleBand, scaleLinear, select, ticks } from "d3";
ENTRY
cat > virtual.js <<'ENTRY'
export { Virtualizer, elementScroll, observeElementOffset, observeElementRect } from "@tanstack/virtual-core";
ENTRY
cat > diff.js <<'ENTRY'
export { diffWordsWithSpace } from "diff";
ENTRY

bundle() { # entry, global name, package, licence
  licence="/*! $3 | $4 */"
  npx esbuild "$1" --bundle --minify --format=iife --global-name="$2" --target=es2022 \
    --legal-comments=none --banner:js="$licence" --charset=ascii --outfile="$out/$1" --log-level=warning
  cp "node_modules/$5/LICENSE" "$out/LICENSE.${1%.js}.txt"
}
bundle d3.js d3 "d3 7.9.2, Copyright 2010-2026 Mike Bostock" "ISC licence" d3
bundle virtual.js VirtualCore "@tanstack/virtual-core 3.19.11, Copyright Tanner Linsley" "MIT licence" @tanstack/virtual-core
bundle diff.js Diff "diff (jsdiff) 9.0.0, Copyright Kevin Decker and contributors" "BSD-3-Clause licence" diff
rm -rf "$work"
