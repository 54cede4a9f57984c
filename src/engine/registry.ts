/** Networks, sandboxes and endpoints in memory, with the indexes that keep every operation independent of how many there are. */
import { conflict, invalid, notFound } from '../base/errors.ts';
import type { Id } from '../base/ids.ts';
import { shown } from '../base/shown.ts';
import { type Change, HOST, type Netns } from '../contracts/change.ts';
import type { Attachment } from '../contracts/engine.ts';
import type { Network } from '../model/network.ts';
import type { Sandbox } from '../model/sandbox.ts';

/** Who made a piece of kernel state. */
export type Owner =
  | { readonly type: 'host' }
  | { readonly type: 'network'; readonly id: Id }
  | { readonly type: 'sandbox'; readonly id: Id };

export class Registry {
  readonly networks = new Map<Id, Network>();
  readonly sandboxes = new Map<Id, Sandbox>();
  /** network -> endpoint -> sandbox */
  readonly #attached = new Map<Id, Map<Id, Id>>();
  readonly #networkNames = new Map<string, Id>();
  readonly #sandboxNames = new Map<string, Id>();
  /** Names being created: whoever comes second is refused at once, before anything is done. */
  readonly #reserved = new Map<string, Id>();
  /** Names of containers, by name: held also while they have no sandbox. */
  readonly #held = new Map<string, Id>();
  /** Networks that are being created: drivers check new ones against them. */
  readonly #making = new Map<Id, Network>();
  /** Ports reserved by connects under way, by network. */
  readonly #joining = new Map<Id, number>();
  /** Links in the host's namespace, by name. */
  readonly #links = new Map<string, Owner>();
  readonly #networkLinks = new Map<Id, readonly string[]>();
  readonly #pins = new Map<Netns, Id>();
  /** Namespaces that networks have, or may have, on this host. */
  readonly #segments = new Map<Netns, Id>();
  /** Networks that are being removed: nothing attaches to them any more. */
  readonly #leaving = new Set<Id>();
  /** Ids of everything here. */
  readonly #ids = new Set<string>();
  /** Ids of what is being made or unmade. */
  readonly #guarded = new Set<string>();

  /** @throws conflict with Docker's text. @returns what gives the name back. */
  reserveNetwork(name: string, id: Id): Disposable {
    if (this.#networkNames.has(name) || this.#reserved.has(`network/${name}`))
      throw conflict(`network with name ${name} already exists`);
    return this.#reserve(`network/${name}`, id);
  }

  /** @throws conflict with Docker's text. @returns what gives the name back. */
  reserveSandbox(name: string, id: Id): Disposable {
    this.#assertFree(name, id);
    return this.#reserve(`sandbox/${name}`, id);
  }

  /** As `reserveSandbox`, until it is given back. */
  holdName(name: string, id: Id): () => void {
    this.#assertFree(name, id);
    this.#held.set(name, id);
    return () => {
      if (this.#held.get(name) === id) this.#held.delete(name);
    };
  }

  #assertFree(name: string, id: Id): void {
    const holder = this.#sandboxNames.get(name) ?? this.#reserved.get(`sandbox/${name}`) ?? this.#held.get(name);
    if (holder !== undefined && holder !== id) {
      throw conflict(
        `Conflict. The container name "/${name}" is already in use by container "${holder}". ` +
          'You have to remove (or rename) that container to be able to reuse that name.',
      );
    }
  }

  sandboxNameTaken(name: string): boolean {
    return this.#held.has(name) || this.#sandboxNames.has(name) || this.#reserved.has(`sandbox/${name}`);
  }

  #reserve(key: string, id: Id): Disposable {
    this.#reserved.set(key, id);
    return { [Symbol.dispose]: () => void this.#reserved.delete(key) };
  }

  /** Announces a network before it is made. */
  making(network: Network): Disposable {
    this.#making.set(network.id, network);
    return { [Symbol.dispose]: () => void this.#making.delete(network.id) };
  }

  /** Networks of one driver, those under way included. */
  ofDriver(driver: string, except: Id): Network[] {
    const out: Network[] = [];
    for (const map of [this.networks, this.#making]) {
      for (const network of map.values()) if (network.driver === driver && network.id !== except) out.push(network);
    }
    return out;
  }

  /** Protects an owner's kernel state from the sweep while it is made or unmade. */
  guard(id: string): Disposable {
    this.#guarded.add(id);
    return { [Symbol.dispose]: () => void this.#guarded.delete(id) };
  }

  /** Whether an owner's kernel state exists, or may: a sweep leaves it alone. */
  knows(id: string): boolean {
    return this.#ids.has(id) || this.#guarded.has(id);
  }

  /** Ports in use on a network, those of connects under way included. */
  ports(network: Id): number {
    return (this.#attached.get(network)?.size ?? 0) + (this.#joining.get(network) ?? 0);
  }

  joining(network: Id): Disposable {
    this.#joining.set(network, (this.#joining.get(network) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const left = (this.#joining.get(network) ?? 1) - 1;
        if (left === 0) this.#joining.delete(network);
        else this.#joining.set(network, left);
      },
    };
  }

  leaving(network: Id): Disposable {
    this.#leaving.add(network);
    return { [Symbol.dispose]: () => void this.#leaving.delete(network) };
  }

  isLeaving(network: Id): boolean {
    return this.#leaving.has(network);
  }

  /** @param changes all that it may have on this host, be it there now or not */
  addNetwork(network: Network, changes: readonly Change[]): void {
    this.networks.set(network.id, network);
    this.#networkNames.set(network.name, network.id);
    this.#ids.add(network.id);
    for (const change of changes) if (change.kind === 'netns' && change.op === 'add') this.#segments.set(change.path, network.id);
    // Of a bridge that is somebody else's, too, we want to know when it changes.
    const names = [...new Set([...hostLinks(changes), ...setLinks(changes)])];
    this.#networkLinks.set(network.id, names);
    for (const name of names) this.#links.set(name, { type: 'network', id: network.id });
  }

  removeNetwork(id: Id): void {
    const network = this.networks.get(id);
    if (network === undefined) return;
    this.networks.delete(id);
    this.#networkNames.delete(network.name);
    this.#ids.delete(id);
    for (const name of this.#networkLinks.get(id) ?? []) this.#links.delete(name);
    this.#networkLinks.delete(id);
    for (const [path, owner] of this.#segments) if (owner === id) this.#segments.delete(path);
  }

  /** Adds a sandbox, or replaces it by a newer value of it. */
  setSandbox(sandbox: Sandbox): void {
    const old = this.sandboxes.get(sandbox.id);
    if (old !== undefined) this.#forgetEndpoints(old);
    if (old !== undefined && old.name !== sandbox.name) this.#sandboxNames.delete(old.name);
    this.sandboxes.set(sandbox.id, sandbox);
    this.#sandboxNames.set(sandbox.name, sandbox.id);
    this.#ids.add(sandbox.id);
    if (sandbox.netns.type !== 'host') this.#pins.set(sandbox.netns.path, sandbox.id);
    for (const endpoint of sandbox.endpoints) {
      let attached = this.#attached.get(endpoint.networkId);
      if (attached === undefined) this.#attached.set(endpoint.networkId, (attached = new Map<Id, Id>()));
      attached.set(endpoint.id, sandbox.id);
      this.#ids.add(endpoint.id);
      if (endpoint.hostInterfaceName !== '') this.#links.set(endpoint.hostInterfaceName, { type: 'sandbox', id: sandbox.id });
    }
  }

  removeSandbox(id: Id): void {
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) return;
    this.#forgetEndpoints(sandbox);
    this.sandboxes.delete(id);
    this.#sandboxNames.delete(sandbox.name);
    this.#ids.delete(id);
    if (sandbox.netns.type !== 'host') this.#pins.delete(sandbox.netns.path);
  }

  #forgetEndpoints(sandbox: Sandbox): void {
    for (const endpoint of sandbox.endpoints) {
      const attached = this.#attached.get(endpoint.networkId);
      attached?.delete(endpoint.id);
      if (attached?.size === 0) this.#attached.delete(endpoint.networkId);
      this.#ids.delete(endpoint.id);
      this.#links.delete(endpoint.hostInterfaceName);
    }
  }

  /** Whether a name on the host is one of ours. */
  linkOwner(name: string): Owner | undefined {
    return this.#links.get(name);
  }

  pinOwner(path: Netns): Id | undefined {
    return this.#pins.get(path);
  }

  /** The network that a namespace is a part of. */
  segmentOwner(path: Netns): Id | undefined {
    return this.#segments.get(path);
  }

  /** Namespaces that networks have, or may have. */
  segments(): Netns[] {
    return [...this.#segments.keys()];
  }

  /** Paths of the namespaces of sandboxes. */
  pins(): Netns[] {
    return [...this.#pins.keys()];
  }

  attachments(network: Id): Attachment[] {
    const out: Attachment[] = [];
    for (const [endpointId, sandboxId] of this.#attached.get(network) ?? []) {
      const sandbox = this.sandboxes.get(sandboxId);
      const endpoint = sandbox?.endpoints.find(({ id }) => id === endpointId);
      if (sandbox !== undefined && endpoint !== undefined) out.push({ endpoint, sandbox });
    }
    return out;
  }

  endpointCount(): number {
    let count = 0;
    for (const attached of this.#attached.values()) count += attached.size;
    return count;
  }

  networkNamed(name: string): Network | undefined {
    const id = this.#networkNames.get(name);
    return id === undefined ? undefined : this.networks.get(id);
  }

  /** @throws not-found, or invalid when an id prefix fits several; Docker's texts. */
  network(reference: string): Network {
    const found = this.networks.get(reference as Id) ?? this.networkNamed(reference) ?? byPrefix(this.networks, reference);
    if (found === 'ambiguous')
      throw invalid(`network ${shown(reference)} is ambiguous (several matches found based on ID prefix)`);
    if (found === undefined) throw notFound(`network ${shown(reference)} not found`);
    return found;
  }

  /** @throws not-found, or invalid when an id prefix fits several; Docker's texts. A leading slash is Docker's way to write names. */
  sandbox(reference: string): Sandbox {
    const name = reference.startsWith('/') ? reference.slice(1) : reference;
    const named = this.#sandboxNames.get(name);
    const found =
      this.sandboxes.get(reference as Id) ??
      (named === undefined ? byPrefix(this.sandboxes, reference) : this.sandboxes.get(named));
    if (found === 'ambiguous') throw invalid(`Multiple IDs found with provided prefix: ${shown(reference)}`);
    if (found === undefined) throw notFound(`No such container: ${shown(reference)}`);
    return found;
  }
}

/** Names of the links that changes make in the host's namespace. */
function hostLinks(changes: readonly Change[]): string[] {
  return changes.flatMap((change) =>
    change.kind === 'link' && change.op === 'add' && change.netns === HOST ? [change.link.name] : [],
  );
}

function setLinks(changes: readonly Change[]): string[] {
  return changes.flatMap((change) => (change.kind === 'link-set' && change.netns === HOST ? [change.name] : []));
}

function byPrefix<T>(map: ReadonlyMap<Id, T>, prefix: string): T | 'ambiguous' | undefined {
  if (!/^[0-9a-f]{1,63}$/.test(prefix)) return undefined;
  let found: T | undefined;
  for (const [id, value] of map) {
    if (!id.startsWith(prefix)) continue;
    if (found !== undefined) return 'ambiguous';
    found = value;
  }
  return found;
}
