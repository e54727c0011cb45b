import 'reflect-metadata';
import { createLogger, instanceName, type Logger, runProcess } from '@gatehouse/platform';
import { readGatewayConfig } from './config.js';
import { createGateway } from './server.js';

let logger: Logger | undefined;
await runProcess(
  () => logger,
  async () => {
    const config = readGatewayConfig(process.env);
    const instance = instanceName('gateway', config.INSTANCE_ID);
    logger = createLogger({ service: 'gateway', instance, level: config.LOG_LEVEL });
    const app = await createGateway({ config, logger, instance });
    await app.listen(config.PORT, config.HOST);
    logger.info({ url: await app.getUrl() }, 'ready');
    return app;
  },
);
