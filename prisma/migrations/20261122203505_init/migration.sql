-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "gateway";

-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "sandbox";

-- CreateEnum
CREATE TYPE "sandbox"."sandbox_status" AS ENUM ('creating', 'active', 'stopped', 'error');

-- CreateEnum
CREATE TYPE "sandbox"."thread_status" AS ENUM ('idle', 'streaming', 'completed', 'error', 'cancelled');

-- CreateTable
CREATE TABLE "gateway"."teams" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "teams_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "gateway"."api_keys" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "secret_hash" BYTEA NOT NULL,
    "prefix" TEXT NOT NULL,
    "last4" TEXT NOT NULL,
    "scopes" TEXT[],
    "user_id" TEXT,
    "rate_limits" JSONB,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3),
    "last_used_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),

    CONSTRAINT "api_keys_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "sandbox"."agents" (
    "id" UUID NOT NULL,
    "team_id" UUID NOT NULL,
    "slug" TEXT NOT NULL,
    "active_version" INTEGER NOT NULL,
    "latest_version" INTEGER NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "agents_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "sandbox"."agent_versions" (
    "agent_id" UUID NOT NULL,
    "version" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "definition" JSON NOT NULL,
    "definition_bytes" INTEGER NOT NULL,
    "env_keys" TEXT[],
    "envs" JSONB,
    "key_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "agent_versions_pkey" PRIMARY KEY ("agent_id","version")
);

-- CreateTable
CREATE TABLE "sandbox"."sandboxes" (
    "id" UUID NOT NULL,
    "sandbox_id" TEXT NOT NULL,
    "team_id" UUID NOT NULL,
    "agent_id" UUID NOT NULL,
    "agent_version" INTEGER NOT NULL,
    "status" "sandbox"."sandbox_status" NOT NULL DEFAULT 'creating',
    "error" TEXT,
    "node_id" TEXT NOT NULL,
    "generation" INTEGER NOT NULL DEFAULT 0,
    "timeout_ms" INTEGER,
    "network_allow_out" TEXT[],
    "network_deny_out" TEXT[],
    "envs" JSONB,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "external_user_id" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "sandboxes_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "sandbox"."sandbox_removals" (
    "sandbox_row_id" UUID NOT NULL,
    "node_id" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "sandbox_removals_pkey" PRIMARY KEY ("sandbox_row_id")
);

-- CreateTable
CREATE TABLE "sandbox"."threads" (
    "id" UUID NOT NULL,
    "sandbox_row_id" UUID NOT NULL,
    "name" TEXT,
    "status" "sandbox"."thread_status" NOT NULL DEFAULT 'idle',
    "external_user_id" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "threads_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "teams_name_key" ON "gateway"."teams"("name");

-- CreateIndex
CREATE UNIQUE INDEX "api_keys_secret_hash_key" ON "gateway"."api_keys"("secret_hash");

-- CreateIndex
CREATE INDEX "api_keys_team_id_created_at_id_idx" ON "gateway"."api_keys"("team_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "agents_team_id_created_at_id_idx" ON "sandbox"."agents"("team_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE UNIQUE INDEX "agents_team_id_slug_key" ON "sandbox"."agents"("team_id", "slug");

-- CreateIndex
CREATE INDEX "sandboxes_team_id_sandbox_id_idx" ON "sandbox"."sandboxes"("team_id", "sandbox_id");

-- CreateIndex
CREATE INDEX "sandboxes_team_id_created_at_id_idx" ON "sandbox"."sandboxes"("team_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "sandboxes_node_id_status_idx" ON "sandbox"."sandboxes"("node_id", "status");

-- CreateIndex
CREATE UNIQUE INDEX "sandboxes_agent_id_sandbox_id_key" ON "sandbox"."sandboxes"("agent_id", "sandbox_id");

-- CreateIndex
CREATE INDEX "sandbox_removals_node_id_idx" ON "sandbox"."sandbox_removals"("node_id");

-- CreateIndex
CREATE INDEX "threads_sandbox_row_id_created_at_id_idx" ON "sandbox"."threads"("sandbox_row_id", "created_at" DESC, "id" DESC);

-- AddForeignKey
ALTER TABLE "gateway"."api_keys" ADD CONSTRAINT "api_keys_team_id_fkey" FOREIGN KEY ("team_id") REFERENCES "gateway"."teams"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "sandbox"."agent_versions" ADD CONSTRAINT "agent_versions_agent_id_fkey" FOREIGN KEY ("agent_id") REFERENCES "sandbox"."agents"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "sandbox"."sandboxes" ADD CONSTRAINT "sandboxes_agent_id_fkey" FOREIGN KEY ("agent_id") REFERENCES "sandbox"."agents"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "sandbox"."threads" ADD CONSTRAINT "threads_sandbox_row_id_fkey" FOREIGN KEY ("sandbox_row_id") REFERENCES "sandbox"."sandboxes"("id") ON DELETE CASCADE ON UPDATE CASCADE;
