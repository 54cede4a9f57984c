// test-timeout: 240 s
import { kernelConformance } from './kernel.ts';
import { openRealKernel } from './kernel-real.ts';

kernelConformance({ name: 'rtnetlink and libnftables', open: () => openRealKernel() });
