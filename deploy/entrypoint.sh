#!/bin/sh
# The process GATEHOUSE_SERVICE names, or `migrate`, which brings the database to this version and ends. Arguments are the
# administrator's command line instead: docker compose run --rm gateway keys create --team acme; those that begin with `sandbox` are for
# the machine of a sandbox node: docker compose exec sandbox /app/deploy/entrypoint.sh sandbox doctor
set -eu
cd "$(dirname "$0")/.."
# The health check (healthcheck.mjs) finds its own process by this name.
export INSTANCE_ID="${INSTANCE_ID:-${GATEHOUSE_SERVICE:-}-$(hostname)}"
if [ "${1:-}" = sandbox ]; then shift; exec node apps/sandbox/dist/cli/main.js "$@"; fi
if [ "$#" -gt 0 ]; then exec node apps/gateway/dist/cli/main.js "$@"; fi
# The image of sandbox nodes brings a template. Sandboxes outlive this container, so it must lie where they find it afterwards.
template="/usr/share/gatehouse/templates/${SANDBOX_TEMPLATE:-}.tar"
if [ "${GATEHOUSE_SERVICE:-}" = sandbox ] && [ -f "$template" ]; then
  node apps/sandbox/dist/cli/main.js template add "$SANDBOX_TEMPLATE" --tar "$template" --unless-there
fi
case "${GATEHOUSE_SERVICE:-}" in
  gateway | vault | budget | sandbox | egress) exec node "apps/$GATEHOUSE_SERVICE/dist/main.js" ;;
  migrate) exec node prisma/migrate.mjs deploy --wait 60 ;;
  *) echo "GATEHOUSE_SERVICE must be gateway, vault, budget, sandbox, egress or migrate" >&2; exit 64 ;;
esac
