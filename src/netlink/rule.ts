import type { Family, Prefix } from '../base/ip.ts';
import type { Request } from './request.ts';
import type { Query } from './socket.ts';
/** Same shape as `RoutingRule` of the contracts. */
export interface RoutingRule {
  readonly family: 4 | 6;
  readonly priority: number;
  readonly table: number;
  readonly from?: Prefix;
  readonly to?: Prefix;
  readonly iif?: string;
  readonly fwmark?: number;
}
export declare function addRule(rule: RoutingRule): Request;
export declare function deleteRule(rule: RoutingRule): Request;
export declare function dumpRules(family: Family): Query<RoutingRule>;
