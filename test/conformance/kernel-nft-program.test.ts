// test-timeout: 240 s
/** The same with the nft program, as on a machine without libnftables. */
import { kernelConformance } from './kernel.ts';
import { openRealKernel } from './kernel-real.ts';

kernelConformance({ name: 'rtnetlink and the nft program', open: () => openRealKernel({ forceNftProgram: true }) });
