/**
 * Where ZooKeeper is, as one text: `zk://[user:password@]HOST[:2181][,HOST2[:2181]...][/prefix][?ca=FILE&cert=FILE&key=FILE]`; `zookeeper://`
 * is the same. User and password are ZooKeeper's `digest`: what is made with them only they may read and write.
 */
import { type StoreAddress, StoreUrl, type UserPassword } from '../address.ts';

export interface ZookeeperAddress extends StoreAddress {
  readonly auth?: UserPassword;
}

/** clientPort in ZooKeeper's sample configuration; secureClientPort has none that is usual. */
const PORT = 2181;

/** @throws invalid, naming the part that is wrong */
export function parseZookeeperUrl(text: string): ZookeeperAddress {
  const url = new StoreUrl(text.replace(/^zookeeper:/, 'zk:'), { scheme: 'zk', name: 'ZooKeeper', port: PORT });
  const { prefix } = url.address;
  if (/\/\.\.?(\/|$)/.test(prefix))
    throw url.bad("the prefix has a segment '.' or '..', which no node of ZooKeeper can be called");
  if (/^\/zookeeper(\/|$)/.test(prefix)) throw url.bad('the prefix /zookeeper is that of ZooKeeper itself');
  const auth = url.userPassword();
  if (auth?.user.includes(':')) throw url.bad('the user has a colon, at which ZooKeeper parts it from the password');
  return { ...url.address, ...(auth === null ? {} : { auth }) };
}
