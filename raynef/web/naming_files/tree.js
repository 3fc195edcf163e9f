// The clusters as a tree: node k < K is a cluster, node K + i what merge i made.

export class Tree {
  constructor({ num_clusters, merges, heights, order, shares }) {
    this.count = num_clusters;
    this.merges = merges;
    this.heights = heights;
    this.place = new Map(order.map((cluster, place) => [cluster, place]));
    this.parents = new Map();
    this.members = [...Array(num_clusters).keys()].map((cluster) => [cluster]);
    this.shares = [...shares];
    merges.forEach((pair, step) => {
      const node = num_clusters + step;
      const [first, second] = this.inOrder(pair);
      this.members.push([...this.members[first], ...this.members[second]]);
      this.shares.push(this.shares[first] + this.shares[second]);
      pair.forEach((child) => this.parents.set(child, node));
    });
  }

  children(node) {
    return node < this.count ? [] : this.inOrder(this.merges[node - this.count]);
  }

  inOrder(nodes) {
    const first = (node) => this.place.get(this.members[node][0]);
    return [...nodes].sort((a, b) => first(a) - first(b));
  }

  // The nodes that are left where the clusters are merged into so many.
  cut(groups) {
    const end = this.merges.length ? 2 * this.count - groups : this.count;
    const nodes = [...Array(end).keys()].filter((node) => !(this.parents.get(node) < end));
    return this.inOrder(nodes);
  }

  // A node, or the nodes below it, each with one name or none for all of its clusters.
  uniform(node, nameOf) {
    const names = new Set(this.members[node].map(nameOf));
    if (names.size === 1) return [node];
    return this.children(node).flatMap((child) => this.uniform(child, nameOf));
  }

  // The others of some nodes, nearest in the tree first.
  neighbors(node, nodes) {
    const found = [];
    let inner = new Set(this.members[node]);
    let above = this.parents.get(node);
    while (above !== undefined) {
      const outer = new Set(this.members[above]);
      const fresh = nodes.filter((other) => {
        const one = this.members[other][0];
        return outer.has(one) && !inner.has(one);
      });
      found.push(...fresh.sort((a, b) => this.shares[b] - this.shares[a]));
      inner = outer;
      above = this.parents.get(above);
    }
    return found;
  }
}
