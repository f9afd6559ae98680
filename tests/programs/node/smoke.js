// amqplib: confirms, manual acks, a nack that comes back, an RPC, an unroutable message, a channel error.
'use strict';
const assert = require('node:assert/strict');
const { once } = require('node:events');
const amqp = require('amqplib');

const url = process.env.AMQP_URL || 'amqp://guest:guest@localhost:5672/';

async function confirmsAndAcks(connection) {
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue(`node.${process.pid}.${Date.now()}`, { durable: true });
  for (let n = 0; n < 200; n++) {
    channel.sendToQueue(queue, Buffer.from(`message ${n}`), {
      persistent: true,
      messageId: `${n}`,
      headers: { n, list: [1, 'two', true, null], nested: { x: 1.5 } },
    });
  }
  await channel.waitForConfirms();
  assert.equal((await channel.checkQueue(queue)).messageCount, 200);

  await channel.prefetch(20);
  const seen = [];
  await new Promise((resolve, reject) => {
    channel.consume(queue, (message) => {
      if (message === null) return reject(new Error('cancelled by the broker'));
      const n = Number(message.properties.messageId);
      if (n === 3 && !message.fields.redelivered) return channel.nack(message, false, true);
      seen.push([n, message.content.toString(), message.fields.redelivered]);
      assert.deepEqual(message.properties.headers, { n, list: [1, 'two', true, null], nested: { x: 1.5 } });
      channel.ack(message);
      if (seen.length === 200) resolve();
    }).catch(reject);
  });
  for (const [n, body, redelivered] of seen) {
    assert.equal(body, `message ${n}`);
    assert.equal(redelivered, n === 3);
  }
  const rest = seen.filter(([n]) => n !== 3).map(([n]) => n);
  assert.deepEqual(rest, [...rest].sort((a, b) => a - b), 'order of those that were not nacked');
  assert.equal((await channel.deleteQueue(queue)).messageCount, 0);
  await channel.close();
}

async function rpc(connection) {
  const channel = await connection.createChannel();
  const server = await channel.assertQueue('', { exclusive: true });
  await channel.consume(server.queue, (request) => {
    const answer = Buffer.from(request.content.toString().toUpperCase());
    channel.sendToQueue(request.properties.replyTo, answer, { correlationId: request.properties.correlationId });
    channel.ack(request);
  });
  const replies = await channel.assertQueue('', { exclusive: true });
  const answer = new Promise((resolve) => channel.consume(replies.queue, resolve, { noAck: true }));
  channel.sendToQueue(server.queue, Buffer.from('ping'), { replyTo: replies.queue, correlationId: '7' });
  const { content, properties } = await answer;
  assert.equal(content.toString(), 'PING');
  assert.equal(properties.correlationId, '7');
  await channel.close();
}

async function returnsAndErrors(connection) {
  const channel = await connection.createConfirmChannel();
  const returned = once(channel, 'return');
  channel.publish('', `nowhere.${Date.now()}`, Buffer.from('back'), { mandatory: true });
  const [message] = await returned;
  assert.equal(message.content.toString(), 'back');
  assert.equal(message.fields.replyCode, 312);
  await channel.waitForConfirms();

  const broken = await connection.createChannel();
  const error = once(broken, 'error');
  await assert.rejects(broken.checkQueue(`missing.${Date.now()}`), /404/);
  assert.equal((await error)[0].code, 404);
  // The connection and its other channels live on.
  await channel.assertQueue('', { exclusive: true });
  await channel.close();
}

async function main() {
  const connection = await amqp.connect(url);
  await confirmsAndAcks(connection);
  await rpc(connection);
  await returnsAndErrors(connection);
  await connection.close();
  console.log('200 messages, an RPC, a return and a channel error');
}

setTimeout(() => { console.error('not done within 60 s'); process.exit(1); }, 60_000).unref();
main().catch((error) => { console.error(error); process.exit(1); });
