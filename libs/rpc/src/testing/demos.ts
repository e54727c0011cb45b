import { type Caller, IsInteger, IsText, Nothing, Required, Rule, rpc, rpcContract } from '@gatehouse/contracts';

export class DemoText {
  @Required()
  @IsText({ min: 1, max: 1_000 })
  text!: string;
}

export class DemoSize {
  @Required()
  @IsInteger({ min: 0, max: 20_000_000 })
  size!: number;
}

export class DemoPayload {
  @Required()
  @IsText({ max: 20_000_000 })
  payload!: string;
}

export class DemoSecret {
  @Required()
  @IsText({ max: 100 })
  name!: string;

  @Required()
  @IsText({ max: 1_000 })
  password!: string;

  @Required()
  @Rule('auth', value => (typeof value === 'object' && value !== null && 'token' in value ? null : 'must have a token'))
  auth!: { token: string };
}

export interface DemoAnswer {
  readonly text: string;
  readonly instance: string;
}

/** Every feature of a contract, for the tests of the transport. */
export const demosRpc = rpcContract('budget', 'demos', {
  echo: rpc(DemoText).returns<DemoAnswer>(),
  nothing: rpc(Nothing),
  refuse: rpc(Nothing).returns<never>().throws('budget_exceeded'),
  crash: rpc(Nothing).returns<never>(),
  /** Answers when the test lets it, or never. */
  hold: rpc(DemoText).returns<DemoAnswer>().within(30_000),
  locate: rpc(DemoText).returns<DemoAnswer>().routedBy((_caller, { text }) => text),
  keep: rpc(DemoSecret).returns<{ readonly name: string; readonly seen: string }>().sealing('password', 'auth'),
  reveal: rpc(DemoText).returns<{ readonly secret: string }>().sealingResult(),
  inflate: rpc(DemoSize).returns<{ readonly filling: string }>(),
  measure: rpc(DemoPayload).returns<{ readonly length: number }>(),
});

/** The same service name rules, for the one service whose outage has its own error code. */
export const sandboxDemosRpc = rpcContract('sandbox', 'sandbox-demos', {
  hold: rpc(DemoText).returns<DemoAnswer>(),
});

export const demoCaller: Caller = { teamId: 'team-1', keyId: 'key-1', scopes: ['*'], userId: null, requestId: 'request-1' };
