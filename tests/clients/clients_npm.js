// Runs beside a node_modules with the packages of package.json: one client sends the messages of a file.
//
// clients_npm.js CLIENT URL MESSAGES [OPTION]; MESSAGES is JSON, [{"text": ..., "seconds": ..., "nanos": ...}, ...]. The
// clients are used as their documents say, and nothing of them is changed. What a client complains of goes to
// standard error, which must stay empty.
'use strict'
const { createRequire } = require('node:module')
const fs = require('node:fs')
const path = require('node:path')
const packages = createRequire(path.join(process.cwd(), 'package.json')) // started beside node_modules

function sendPino(url, messages) {
  const pino = packages('pino')
  const transport = pino.transport({
    target: packages.resolve('pino-loki'),
    options: { host: url, labels: { client: 'pino-loki' }, propsToLabels: ['zone'] },
  })
  const logger = pino({ level: 'debug' }, transport)
  messages.forEach((message, i) => {
    const level = i % 2 ? 'error' : 'info'
    logger[level]({ n: i, empty: '', zone: 'Zürich "1"\\', meta: { user: 'Zoë "z"', none: '' } }, message.text)
  })
  return new Promise((resolve) => {
    transport.on('close', resolve)
    transport.end()
  })
}

async function sendWinstonLoki(url, messages, option) {
  const winston = packages('winston')
  const LokiTransport = packages('winston-loki')
  const transport = new LokiTransport({
    host: url,
    labels: { client: 'winston-loki-' + option },
    json: option === 'json',
    format: winston.format.json(),
    onConnectionError: (error) => console.error(error),
  })
  const logger = winston.createLogger({ level: 'debug', transports: [transport] })
  messages.forEach((message, i) => {
    logger.log({ level: i % 2 ? 'error' : 'info', message: message.text, n: i, empty: '', user: 'Zoë "z"' })
  })
  await new Promise((resolve) => setImmediate(resolve))
  await transport.close()
}

function sendWinstonElasticsearch(url, messages) {
  const winston = packages('winston')
  const { ElasticsearchTransport } = packages('winston-elasticsearch')
  const transport = new ElasticsearchTransport({
    level: 'debug',
    indexPrefix: 'winston-es',
    clientOpts: { node: url },
    flushInterval: 200,
  })
  transport.on('error', (error) => console.error(error))
  transport.on('warning', (error) => console.error(error))
  const logger = winston.createLogger({ level: 'debug', transports: [transport] })
  logger.on('error', (error) => console.error(error))
  messages.forEach((message, i) => {
    const level = i % 2 ? 'error' : 'info'
    const stamp = new Date(message.seconds * 1000 + Math.floor(message.nanos / 1e6))
    logger.log({
      level, message: message.text, timestamp: stamp.toISOString(), n: i, empty: '', none: null,
    })
  })
  // It sends by itself once it has asked for the cluster's health; the process ends when nothing is left to send.
  return new Promise((resolve) => {
    logger.on('finish', resolve)
    setTimeout(() => logger.end(), 1000)
  })
}

async function sendOpentelemetry(url, messages) {
  const { SeverityNumber } = packages('@opentelemetry/api-logs')
  const { LoggerProvider, BatchLogRecordProcessor } = packages('@opentelemetry/sdk-logs')
  const { OTLPLogExporter } = packages('@opentelemetry/exporter-logs-otlp-http')
  const { resourceFromAttributes } = packages('@opentelemetry/resources')
  const { diag, DiagConsoleLogger, DiagLogLevel } = packages('@opentelemetry/api')
  diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.WARN)
  const provider = new LoggerProvider({
    resource: resourceFromAttributes({ 'service.name': 'otlp-js', 'service.version': '1.2' }),
    processors: [new BatchLogRecordProcessor({
      exporter: new OTLPLogExporter({ url: url + '/v1/logs' }), maxExportBatchSize: 50,
    })],
  })
  const logger = provider.getLogger('shop.basket', '3.4')
  messages.forEach((message, i) => {
    logger.emit({
      timestamp: [message.seconds, message.nanos],
      severityNumber: SeverityNumber.WARN,
      severityText: 'WARN',
      body: message.text,
      attributes: { n: i, empty: '', who: 'Zoë "z"\nsecond line', ratio: 0.5, ok: true, parts: ['a', 'b'] },
    })
  })
  await provider.forceFlush()
  await provider.shutdown()
}

const clients = {
  pino: sendPino,
  'winston-loki': sendWinstonLoki,
  'winston-elasticsearch': sendWinstonElasticsearch,
  opentelemetry: sendOpentelemetry,
}
const [name, url, file, option] = process.argv.slice(2)
clients[name](url, JSON.parse(fs.readFileSync(file, 'utf8')), option).then(
  () => process.exit(0),
  (error) => {
    console.error(error)
    process.exit(1)
  },
)
