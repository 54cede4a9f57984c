import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectionFault } from './tls.ts';

test('why a connection came to nothing', () => {
  assert.equal(connectionFault(new Error('connect ECONNREFUSED 192.0.2.1:2379')), 'connect ECONNREFUSED 192.0.2.1:2379');
  // A name with several addresses: an AggregateError has no words of its own.
  const each = [new Error('connect ECONNREFUSED 192.0.2.1:8500'), new Error('connect ECONNREFUSED 2001:db8::1:8500')];
  assert.equal(connectionFault(new AggregateError(each)), 'connect ECONNREFUSED 192.0.2.1:8500');
  // Node 26 adds what its own users can do.
  const advice = 'self-signed certificate; if the root CA is installed locally, try running Node.js with --use-system-ca';
  assert.equal(connectionFault(new Error(advice)), 'self-signed certificate (?ca=FILE names whom to trust)');
  assert.equal(connectionFault('given up'), 'given up');
});
