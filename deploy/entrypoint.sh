#!/bin/sh
# The process GATEHOUSE_SERVICE names, or `migrate`, which brings the database to this version and ends. Arguments are the
# administrator's command line instead: docker compose run --rm gateway keys create --team acme
set -eu
cd "$(dirname "$0")/.."
# The health check (healthcheck.mjs) finds its own process by this name.
export INSTANCE_ID="${INSTANCE_ID:-${GATEHOUSE_SERVICE:-}-$(hostname)}"
if [ "$#" -gt 0 ]; then exec node apps/gateway/dist/cli/main.js "$@"; fi
case "${GATEHOUSE_SERVICE:-}" in
  gateway | vault | budget | sandbox | egress) exec node "apps/$GATEHOUSE_SERVICE/dist/main.js" ;;
  migrate) exec node prisma/migrate.mjs deploy --wait 60 ;;
  *) echo "GATEHOUSE_SERVICE must be gateway, vault, budget, sandbox, egress or migrate" >&2; exit 64 ;;
esac
