#!/usr/bin/env bash
# Makes OHIF for the path /ohif/ out of npm's built package:  services/ohif/build.sh [output folder]
#
# The package is built for "/". Every place where that shows is rewritten below, and each rewrite
# states how often it expects to hit: another version of OHIF fails here, not in a browser.
set -euo pipefail

VERSION=3.13.2
BASE=/ohif/
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/../../build/ohif}

stamp="$VERSION $(cat "$here/build.sh" "$here/app-config.js" | sha256sum | cut -d' ' -f1)"
if [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi

die() { printf 'ohif: %s\n' "$*" >&2; exit 1; }

# replace WHAT-IT-IS EXPECTED SED-EXPRESSION PATTERN FILE...: rewrites where the (basic) pattern stands
replace() {
    local what=$1 expected=$2 expression=$3 pattern=$4 count; shift 4
    count=$({ grep -oh -- "$pattern" "$@" || true; } | wc -l)
    [ "$count" -eq "$expected" ] || die "$what: $count places where $expected were expected; is this OHIF $VERSION?"
    sed -i -e "$expression" "$@"
}

mkdir -p "$out"
rm -rf "$out/work" "$out/dist" "$out/stamp"
mkdir "$out/work"
cd "$out/work"
echo "ohif: fetching @ohif/app $VERSION from npm"
npm pack --silent --ignore-scripts "@ohif/app@$VERSION" >/dev/null
tar xzf "ohif-app-$VERSION.tgz"
cd package/dist

# Not used, or a risk: speech models (136 MB), source maps, the service worker, other hosts' login.
rm -rf ort sw.js init-service-worker.js google.js oidc-client.min.js silent-refresh.html _headers _redirects serve.json
find . -name '*.map' -delete

mapfile -t scripts < <(find . -maxdepth 1 -name '*.js' | sort)
mapfile -t styles < <(find . -maxdepth 1 -name '*.css' | sort)
replace 'public path' 8 "s|__webpack_require__\.p = \"/\";|__webpack_require__.p = \"$BASE\";|" \
    '__webpack_require__\.p = "/";' "${scripts[@]}"
replace 'microscopy import' 1 "s|browserImportFunction('/dicom-micro|browserImportFunction('${BASE}dicom-micro|" \
    "browserImportFunction('/dicom-micro" app.bundle.*.js
replace 'fonts' 5 "s|url(/\([0-9a-f]*\.woff2\))|url($BASE\1)|g" 'url(/[0-9a-f]*\.woff2)' "${styles[@]}"
replace 'service worker' 1 's|<script[^>]*src="/init-service-worker.js"></script>||' \
    '<script[^>]*src="/init-service-worker.js"></script>' index.html
replace 'window.PUBLIC_URL' 2 "s|window.PUBLIC_URL=\"/\"|window.PUBLIC_URL=\"$BASE\"|g" \
    'window.PUBLIC_URL="/"' index.html
# Inline scripts move to a file, so that our pages need no 'unsafe-inline' (reverse-proxy/snippets/page.conf).
replace 'timing script' 1 's|<script>console.time("scriptToView"),window.PUBLIC_URL="[^"]*"</script>||' \
    '<script>console.time("scriptToView"),window.PUBLIC_URL="[^"]*"</script>' index.html
replace 'import script' 1 "s|<script>function browserImportFunction.*window.PUBLIC_URL=\"[^\"]*\"</script>|<script src=\"/start.js\"></script>|" \
    '<script>function browserImportFunction(n){return import(n)}window.PUBLIC_URL="[^"]*"</script>' index.html
printf 'function browserImportFunction(n) { return import(n); }\nwindow.PUBLIC_URL = "%s";\n' "$BASE" >start.js
if grep -q '<script>' index.html; then die 'index.html: an inline script is left'; fi
links=$(grep -oE '(href|src|content)="/' index.html | wc -l)
[ "$links" -gt 20 ] || die "index.html: only $links links"
sed -i -E "s#(href|src|content)=\"/#\1=\"$BASE#g" index.html
icons=$(grep -c '"src": "/' manifest.json || true)
[ "$icons" -gt 0 ] || die "manifest.json: no icons"
sed -i -E "s#\"(src|start_url)\": \"/#\"\1\": \"$BASE#" manifest.json
grep -q "src=\"${BASE}app-config.js\"" index.html || die 'index.html does not load app-config.js'

# Nothing may still point to "/".
if grep -lE '(href|src|content)="/[^o]' index.html || grep -l '__webpack_require__\.p = "/";' -- *.js; then
    die 'a link to "/" is left'
fi
cp "$here/app-config.js" app-config.js

# The store that nginx serves: worker-readable, complete before it is seen.
cd "$out"
mv work/package/dist dist
cp work/package/LICENSE dist/LICENSE
rm -rf work
find dist -type f \( -name '*.js' -o -name '*.css' -o -name '*.wasm' -o -name '*.svg' \) -size +8k -exec gzip -k6 {} +
chmod -R u=rwX,go=rX dist
printf '%s\n' "$stamp" > stamp
echo "ohif: ready ($(du -sh dist | cut -f1))"
