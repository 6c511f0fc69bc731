# shellcheck shell=bash disable=SC2153
# The peers, tuned as far as their documentation goes: sourced by systems.
#
# TCP_NODELAY=1: DCMTK writes a PDU in two pieces; without it each answer waits 40 ms for the sender's
# delayed acknowledgement.
# While loading files are not synced, and no series becomes stable, which would have its metadata prepared. What is
# measured has Orthanc's defaults. One connection to PostgreSQL: with more of them its transactions collide and
# instances are refused.
export TCP_NODELAY=1

orthanc_start() { # [LOADING]
    local -a inside=()
    local seen=$FOLDER # as the peer sees its folder
    if [[ $NAME == orthanc112-* ]]; then
        local chroot=$BENCH/trixie
        mkdir -p "$chroot/bench"
        mountpoint -q "$chroot/bench" || mount --bind "$BENCH" "$chroot/bench"
        cp /etc/hosts "$chroot/etc/hosts" # else each UID that it makes waits for a DNS server
        inside=(chroot "$chroot")
        seen=/bench${FOLDER#"$BENCH"}
    fi
    mkdir -p "$FOLDER/db"
    orthanc_configuration "$seen" "${1:-}" >"$FOLDER/orthanc.json"
    process_start server "${inside[@]}" /usr/sbin/Orthanc "$seen/orthanc.json"
    wait_for curl -sf -o /dev/null "http://127.0.0.1:$((PORT + 1))/system"
}

orthanc_configuration() { # FOLDER [LOADING]
    local plugins=/usr/share/orthanc/plugins more='' database=''
    if [[ $NAME == *-pg ]]; then
        more=", \"$plugins/libOrthancPostgreSQLIndex.so\""
        database=", \"PostgreSQL\": {\"EnableIndex\": true, \"EnableStorage\": false, \"Host\": \"127.0.0.1\",
  \"Port\": $((PORT + 40)), \"Database\": \"bench\", \"Username\": \"postgres\", \"Password\": \"x\", \"Lock\": false,
  \"IndexConnectionsCount\": 1}"
    fi
    cat <<JSON
{ "Name": "$NAME", "StorageDirectory": "$1/db", "IndexDirectory": "$1/db",
  "Plugins": ["$plugins/libOrthancDicomWeb.so"$more],
  "HttpPort": $((PORT + 1)), "HttpThreadsCount": 50, "RemoteAccessAllowed": false, "AuthenticationEnabled": false,
  "DicomPort": $((PORT + 32)), "DicomAet": "ORTHANC", "DicomThreadsCount": 8, "MaximumPduLength": 131072,
  "StorageCompression": false, "SyncStorageArea": $([ -n "$2" ] && echo false || echo true),
  "StableAge": $([ -n "$2" ] && echo 1000000 || echo 60), "ConcurrentJobs": 4, "SaveJobs": false, "WebDavEnabled": false,
  "DicomAlwaysAllowFind": true, "DicomAlwaysAllowGet": true, "DicomAlwaysAllowMove": true,
  "DicomWeb": {"Enable": true, "Root": "/dicom-web/", "EnableWado": true, "Host": "127.0.0.1", "Ssl": false,
  "SeriesMetadata": "Full", "StudiesMetadata": "Full", "EnableMetadataCache": true}$database }
JSON
}

orthanc_target() {
    target "$(proxy_token)" "\"http://127.0.0.1:$((PORT + 1))/dicom-web\"" 32 ORTHANC "$(<"$FOLDER/server.pid")"
}

# It syncs nothing and has no web.
dcmqrscp_start() {
    mkdir -p "$FOLDER/db"
    cat >"$FOLDER/dcmqrscp.cfg" <<TEXT
NetworkTCPPort = $((PORT + 32))
MaxPDUSize = 131072
MaxAssociations = 32
HostTable BEGIN
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
QRSCP $FOLDER/db RW (20000, 100000mb) ANY
AETable END
TEXT
    process_start server dcmqrscp -c "$FOLDER/dcmqrscp.cfg"
    wait_for echoscu -aec QRSCP 127.0.0.1 $((PORT + 32))
}

dcmqrscp_target() { target '' null 32 QRSCP "$(<"$FOLDER/server.pid")"; }

# ---- the floor: nginx with files, behind our nginx ------------------------------------------------
static_start() {
    static_files "$FOLDER/html/dicom-web"
    cat >"$FOLDER/nginx.conf" <<TEXT
pid $FOLDER/nginx.pid;
error_log $FOLDER/error.log;
worker_processes 2;
daemon off;
events { worker_connections 512; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path $FOLDER/temp1;
    proxy_temp_path $FOLDER/temp2;
    fastcgi_temp_path $FOLDER/temp3;
    uwsgi_temp_path $FOLDER/temp4;
    scgi_temp_path $FOLDER/temp5;
    server { listen 127.0.0.1:$((PORT + 1)); root $FOLDER/html; }
}
TEXT
    process_start server nginx -c "$FOLDER/nginx.conf"
    wait_for curl -sf -o /dev/null "http://127.0.0.1:$((PORT + 1))/dicom-web/empty"
}

# 300 frames of a CT, all of them as one file, and nothing
static_files() { # FOLDER
    local i
    mkdir -p "$1"
    [ ! -f "$1/series" ] || return 0
    : >"$1/empty"
    for i in $(seq 300); do head -c 524288 /dev/urandom >"$1/frame$i"; done
    cat "$1"/frame* >"$1/series"
}

static_target() {
    target "$(proxy_token)" "\"http://127.0.0.1:$((PORT + 1))/dicom-web\"" 32 NONE "$(<"$FOLDER/server.pid")"
}
