-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "vault";

-- CreateEnum
CREATE TYPE "vault"."vault_status" AS ENUM ('active', 'archived');

-- CreateEnum
CREATE TYPE "vault"."auth_type" AS ENUM ('bearer', 'oauth');

-- AlterTable
ALTER TABLE "sandbox"."agent_versions" ADD COLUMN     "servers" JSONB NOT NULL DEFAULT '[]';

-- CreateTable
CREATE TABLE "vault"."vaults" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "external_user_id" TEXT,
    "is_default" BOOLEAN NOT NULL DEFAULT false,
    "status" "vault"."vault_status" NOT NULL DEFAULT 'active',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "archived_at" TIMESTAMPTZ(3),

    CONSTRAINT "vaults_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "vault"."credentials" (
    "id" UUID NOT NULL,
    "vault_id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "name" TEXT,
    "server_url" TEXT NOT NULL,
    "server_url_normalized" TEXT NOT NULL,
    "server_url_hash" BYTEA NOT NULL,
    "host_pattern" TEXT NOT NULL,
    "inject" JSONB NOT NULL,
    "auth_type" "vault"."auth_type" NOT NULL,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "status" "vault"."vault_status" NOT NULL DEFAULT 'active',
    "last_error" TEXT,
    "last_outcome_at" TIMESTAMPTZ(3),
    "last_resolved_at" TIMESTAMPTZ(3),
    "secret_version" INTEGER NOT NULL DEFAULT 1,
    "key_id" TEXT,
    "wrapped_dek" BYTEA,
    "nonce" BYTEA,
    "ciphertext" BYTEA,
    "refresh_owner" UUID,
    "refresh_until" TIMESTAMPTZ(3),
    "refresh_not_before" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "archived_at" TIMESTAMPTZ(3),

    CONSTRAINT "credentials_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "vault"."audit_events" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "action" TEXT NOT NULL,
    "vault_id" UUID,
    "credential_id" UUID,
    "key_id" UUID,
    "run_id" UUID,
    "sandbox_id" TEXT,
    "request_id" TEXT,
    "detail" TEXT,

    CONSTRAINT "audit_events_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "vaults_team_id_updated_at_idx" ON "vault"."vaults"("team_id", "updated_at" DESC);

-- CreateIndex
CREATE INDEX "vaults_team_id_external_user_id_idx" ON "vault"."vaults"("team_id", "external_user_id");

-- CreateIndex
CREATE INDEX "credentials_vault_id_status_idx" ON "vault"."credentials"("vault_id", "status");

-- CreateIndex
CREATE INDEX "credentials_key_id_id_idx" ON "vault"."credentials"("key_id", "id");

-- CreateIndex
CREATE INDEX "audit_events_team_id_at_idx" ON "vault"."audit_events"("team_id", "at" DESC);

-- CreateIndex
CREATE INDEX "audit_events_at_idx" ON "vault"."audit_events"("at");

-- AddForeignKey
ALTER TABLE "vault"."credentials" ADD CONSTRAINT "credentials_vault_id_fkey" FOREIGN KEY ("vault_id") REFERENCES "vault"."vaults"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- What the schema language cannot say.

CREATE UNIQUE INDEX "vaults_one_default_per_team" ON "vault"."vaults"("team_id") WHERE "is_default";
CREATE UNIQUE INDEX "credentials_one_active_per_url" ON "vault"."credentials"("vault_id", "server_url_hash") WHERE "status" = 'active';

-- Archiving destroys the secret, and a default vault is an active one: no program error may leave it otherwise.
ALTER TABLE "vault"."vaults" ADD CONSTRAINT "vaults_default_is_active" CHECK (NOT "is_default" OR "status" = 'active');
ALTER TABLE "vault"."credentials" ADD CONSTRAINT "credentials_archived_hold_no_secret" CHECK ("status" = 'active' OR num_nonnulls("key_id", "wrapped_dek", "nonce", "ciphertext") = 0);

-- Postgres does not look into a document that holds NUL or half a surrogate pair anywhere. Such agents are told of from their next version on.
UPDATE "sandbox"."agent_versions" SET "servers" = ("definition" -> 'mcpServers')::jsonb WHERE "definition"::text !~* '\\u(0000|d[89a-f])';
