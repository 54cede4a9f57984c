import type { Fd } from '../sys/fd.ts';
import type { Request } from './request.ts';
import type { Query } from './socket.ts';
/** RTM_NEWNSID: gives the namespace an id inside the socket's one, by which monitors report it. @param nsid -1 = kernel chooses */
export declare function setNsid(netns: Fd, nsid: number): Request;
/** null of `find`... answers -1 when it has none. */
export declare function getNsid(netns: Fd): Query<number>;
