import '../support/isolated.ts';
import { createLocalIpam, DEFAULT_POOLS } from '../../src/ipam/local/ipam.ts';
import { ipamConformance } from './ipam.ts';

ipamConformance({ name: 'local', open: () => createLocalIpam({ pools: DEFAULT_POOLS, hostId: 'test' }) });
