// Names by cluster: shown at once, saved one after the other, and compared with the table's.

const POLL_MS = 2000;

export class Names {
  // onChange(words, clusters): others changed names, or a change of one's own was refused, which is
  // of these clusters.
  // onSaving(count): so many changes are on their way.
  // onBroken(words): nothing can be read; "" once it can again.
  constructor(onChange, onSaving, onBroken) {
    this.byCluster = new Map();
    this.byText = new Set(); // clusters whose names no person gave
    this.onChange = onChange;
    this.onSaving = onSaving;
    this.onBroken = onBroken;
    this.saving = Promise.resolve();
    this.waiting = 0;
  }

  of = (cluster) => this.byCluster.get(cluster) ?? null;

  // The names that there are, and from then on those of others.
  async load() {
    const reply = await request("names.json");
    this.onBroken(reply.error ?? "");
    for (const [cluster, name] of Object.entries(reply.names ?? {})) this.put(Number(cluster), name);
    this.byText = new Set(reply.by_text);
    addEventListener("beforeunload", (event) => this.waiting && event.preventDefault());
    addEventListener("focus", () => this.look());
    setInterval(() => document.hidden || this.look(), POLL_MS);
  }

  async look() {
    if (this.waiting) return;
    const { saving } = this;
    const reply = await request("names.json");
    if (saving !== this.saving) return; // a change of one's own came between
    this.onBroken(reply.error ?? "");
    if (reply.names) this.take(reply);
  }

  // Set names, [[cluster, name or null], …]; what they replace, likewise.
  set(changes) {
    const seen = changes.map(([cluster]) => [cluster, this.of(cluster)]);
    for (const [cluster, name] of changes) this.put(cluster, name);
    this.onSaving((this.waiting += 1));
    this.saving = this.saving.then(() => this.save(changes, seen));
    return seen;
  }

  async save(changes, seen) {
    const body = { changes: Object.fromEntries(changes), seen: Object.fromEntries(seen) };
    const reply = await request("names.json", body);
    this.onSaving((this.waiting -= 1));
    if (!reply.error) return;
    const own = changes.map(([cluster]) => cluster);
    if (reply.names) {
      this.take(reply, `Not saved: ${reply.error}.`, own);
    } else {
      for (const [cluster, name] of seen) this.put(cluster, name);
      this.onChange(`Not saved: ${reply.error}.`, own);
    }
  }

  put(cluster, name) {
    this.byText.delete(cluster);
    if (name) this.byCluster.set(cluster, name);
    else this.byCluster.delete(cluster);
  }

  // The names that there are, of which some may be new here.
  take({ names, by_text }, words, own = []) {
    this.byText = new Set(by_text);
    const found = new Map(Object.entries(names).map(([cluster, name]) => [Number(cluster), name]));
    const all = new Set([...found.keys(), ...this.byCluster.keys()]);
    const other = [...all].filter((cluster) => found.get(cluster) !== this.byCluster.get(cluster));
    this.byCluster = found;
    const many = other.length === 1 ? "1 cluster was" : `${other.length} clusters were`;
    if (words || other.length) this.onChange(words ?? `${many} named elsewhere.`, own);
  }
}

export async function request(path, body) {
  const sent = body && {
    method: "POST",
    priority: "high", // before the crops of screens that are gone by
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  try {
    return await (await fetch(path, sent)).json();
  } catch {
    return { error: "raynef name does not answer: start it again in the terminal, and open the address that it prints" };
  }
}
