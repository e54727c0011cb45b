-- AlterTable
ALTER TABLE "vault"."credentials" ADD COLUMN     "token_new_until" TIMESTAMPTZ(3);
