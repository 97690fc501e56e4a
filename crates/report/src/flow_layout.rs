//! Where services and labels stand on the flow map: layers from left to right, no two labels on the same place.

/// Width of a service's box.
pub(crate) const NODE_WIDE: f64 = 152.0;
/// Smallest height of a service's box.
pub(crate) const NODE_HIGH: f64 = 44.0;
/// Room for labels between two layers.
pub(crate) const LABEL_WIDE: f64 = 216.0;
const GAP: f64 = LABEL_WIDE + 64.0;
/// Height of a label with one line on each side of its edge.
pub(crate) const LABEL_HIGH: f64 = 36.0;
/// The same of a label with two.
pub(crate) const LABEL_TALL: f64 = 66.0;
const LAYERS: usize = 6;
const MARGIN: f64 = 24.0;

/// A place on the map.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Place {
    /// Left edge of a service, middle of a label.
    pub(crate) x: f64,
    /// Top of a service, middle of a label.
    pub(crate) y: f64,
    /// Height of a service, length of a label.
    pub(crate) high: f64,
}

/// The layout.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Services.
    pub(crate) nodes: Vec<Place>,
    /// Labels of the edges.
    pub(crate) labels: Vec<Place>,
    /// Where an edge leaves its client and enters its server, from the top of their boxes.
    pub(crate) ports: Vec<(f64, f64)>,
    /// Heights at which a long edge passes the columns between its label and its server, with the column's left edge,
    /// in the order in which it passes them.
    pub(crate) ways: Vec<Vec<(f64, f64)>>,
    /// Size of all.
    pub(crate) width: f64,
    /// Size of all.
    pub(crate) height: f64,
}

impl Layout {
    /// Lays out services with these edges (client, server) and the heights of their labels. The same input gives the
    /// same layout.
    pub(crate) fn new(names: &[String], edges: &[(usize, usize)], heights: &[f64]) -> Layout {
        let tall = |edge: usize| heights.get(edge).copied().unwrap_or(LABEL_HIGH);
        let layer = layers(names, edges);
        let mut columns: Vec<Vec<usize>> = vec![Vec::new(); LAYERS];
        for (node, &l) in layer.iter().enumerate() {
            if let Some(column) = columns.get_mut(l) {
                column.push(node);
            }
        }
        columns.retain(|c| !c.is_empty());
        order(names, edges, &mut columns);
        let mut out = Layout { nodes: vec![Place::default(); names.len()], ..Layout::default() };
        out.place_nodes(edges, &columns, &tall);
        out.place_ports(edges);
        out.place_labels(edges, &tall);
        out.place_ways(edges);
        let right = |p: &Place| p.x;
        out.width = out
            .nodes
            .iter()
            .map(|p| p.x + NODE_WIDE)
            .chain(out.labels.iter().map(|p| right(p) + LABEL_WIDE / 2.0))
            .fold(0.0, f64::max)
            + MARGIN;
        let bottom = |(i, p): (usize, &Place)| p.y + tall(i) / 2.0 - 2.0;
        out.height =
            out.nodes.iter().map(|p| p.y + p.high).chain(out.labels.iter().enumerate().map(bottom)).fold(0.0, f64::max);
        out
    }

    fn place_nodes(&mut self, edges: &[(usize, usize)], columns: &[Vec<usize>], label: &dyn Fn(usize) -> f64) {
        let high = |n: usize| {
            let out = edges.iter().filter(|e| e.0 == n).count();
            let into = edges.iter().filter(|e| e.1 == n).count();
            (out.max(into) as f64 * 14.0 + 16.0).max(NODE_HIGH)
        };
        // A column is as tall as its boxes, or as the labels that stand to its right.
        let tall = |c: &Vec<usize>| {
            let boxes: f64 = c.iter().map(|&n| high(n) + 26.0).sum();
            let labels: f64 = (0..edges.len()).filter(|&e| c.contains(&edges[e].0)).map(label).sum();
            boxes.max(labels)
        };
        let tallest = columns.iter().map(tall).fold(0.0, f64::max);
        for (i, column) in columns.iter().enumerate() {
            let boxes: f64 = column.iter().map(|&n| high(n)).sum();
            let air = (tallest - boxes) / (column.len() as f64);
            let mut y = air / 2.0;
            for &n in column {
                if let Some(place) = self.nodes.get_mut(n) {
                    *place = Place { x: MARGIN + i as f64 * (NODE_WIDE + GAP), y, high: high(n) };
                }
                y += high(n) + air;
            }
        }
    }

    /// Spreads the ends of edges over the sides of the boxes, in the order of where they lead.
    fn place_ports(&mut self, edges: &[(usize, usize)]) {
        self.ports = vec![(0.0, 0.0); edges.len()];
        for node in 0..self.nodes.len() {
            let Some(place) = self.nodes.get(node).copied() else { continue };
            let far = |other: usize| self.nodes.get(other).map_or(0.0, |p| p.y + p.high / 2.0);
            let mut leaving: Vec<usize> =
                (0..edges.len()).filter(|&e| edges.get(e).is_some_and(|e| e.0 == node)).collect();
            let mut entering: Vec<usize> =
                (0..edges.len()).filter(|&e| edges.get(e).is_some_and(|e| e.1 == node)).collect();
            leaving.sort_by(|&a, &b| far(edges[a].1).total_cmp(&far(edges[b].1)).then(a.cmp(&b)));
            entering.sort_by(|&a, &b| far(edges[a].0).total_cmp(&far(edges[b].0)).then(a.cmp(&b)));
            for (i, e) in leaving.iter().enumerate() {
                self.ports[*e].0 = place.high * (i as f64 + 1.0) / (leaving.len() as f64 + 1.0);
            }
            for (i, e) in entering.iter().enumerate() {
                self.ports[*e].1 = place.high * (i as f64 + 1.0) / (entering.len() as f64 + 1.0);
            }
        }
    }

    /// A long edge passes other services above or below, not behind them, where it would seem to end there.
    fn place_ways(&mut self, edges: &[(usize, usize)]) {
        let mut columns: Vec<f64> = self.nodes.iter().map(|p| p.x).collect();
        columns.sort_by(f64::total_cmp);
        columns.dedup();
        let mut ways = Vec::with_capacity(edges.len());
        for (i, &(from, to)) in edges.iter().enumerate() {
            let (a, b, label, entry) = (self.nodes[from], self.nodes[to], self.labels[i], self.ports[i].1);
            let goal = (b.x, b.y + entry);
            let mut passed: Vec<f64> = columns
                .iter()
                .copied()
                .filter(|&x| if b.x > a.x { x > a.x && x < b.x } else { x > b.x && x <= a.x })
                .collect();
            if b.x <= a.x {
                passed.reverse();
            }
            let way = passed.into_iter().map(|x| {
                let share = ((x - label.x) / (goal.0 - label.x)).clamp(0.0, 1.0);
                (x, self.free(x, label.y + (goal.1 - label.y) * share))
            });
            ways.push(way.collect());
        }
        self.ways = ways;
    }

    /// The height nearest to `y` at which no service of the column at `x` stands.
    fn free(&self, x: f64, y: f64) -> f64 {
        const AIR: f64 = 9.0;
        let column: Vec<&Place> = self.nodes.iter().filter(|p| p.x == x).collect();
        let taken = |y: f64| column.iter().any(|p| y > p.y - AIR + 0.01 && y < p.y + p.high + AIR - 0.01);
        if !taken(y) {
            return y;
        }
        column
            .iter()
            .flat_map(|p| [p.y - AIR, p.y + p.high + AIR])
            .filter(|&edge| !taken(edge))
            .min_by(|a, b| (a - y).abs().total_cmp(&(b - y).abs()))
            .unwrap_or(y)
    }

    /// A label stands right of its client, half-way to the server where that is the next layer, pushed down where
    /// another is.
    fn place_labels(&mut self, edges: &[(usize, usize)], tall: &dyn Fn(usize) -> f64) {
        self.labels = edges
            .iter()
            .zip(&self.ports)
            .map(|(&(from, to), &(exit, entry))| {
                let (a, b) = (
                    self.nodes.get(from).copied().unwrap_or_default(),
                    self.nodes.get(to).copied().unwrap_or_default(),
                );
                let (start, end) = (a.y + exit, b.y + entry);
                let y = if b.x > a.x { (start + end) / 2.0 } else { start };
                Place { x: a.x + NODE_WIDE + GAP / 2.0, y, high: LABEL_WIDE }
            })
            .collect();
        let mut lanes: Vec<i64> = self.labels.iter().map(|p| p.x as i64).collect();
        lanes.sort_unstable();
        lanes.dedup();
        for lane in lanes {
            let mut members: Vec<usize> =
                (0..self.labels.len()).filter(|&i| self.labels.get(i).is_some_and(|p| p.x as i64 == lane)).collect();
            members.sort_by(|&a, &b| self.labels[a].y.total_cmp(&self.labels[b].y).then(a.cmp(&b)));
            spread(&mut self.labels, &members, tall);
        }
    }
}

/// Moves labels of one lane apart, down and then the whole lane up by what is free, so that none leaves the picture.
fn spread(labels: &mut [Place], members: &[usize], tall: &dyn Fn(usize) -> f64) {
    let wanted: f64 = members.iter().map(|&i| labels[i].y).sum();
    let mut last = f64::NEG_INFINITY;
    for &i in members {
        labels[i].y = labels[i].y.max(last + tall(i) / 2.0);
        last = labels[i].y + tall(i) / 2.0;
    }
    let got: f64 = members.iter().map(|&i| labels[i].y).sum();
    let shift = (got - wanted) / members.len().max(1) as f64;
    // How much lies free above the first; where it is less than nothing, all go down.
    let free = members.first().map_or(0.0, |&i| labels[i].y - (tall(i) / 2.0 - 2.0));
    let shift = shift.max(0.0).min(free);
    for &i in members {
        labels[i].y -= shift;
    }
}

/// The layer of each service: one right of its furthest client. Edges that close a circle do not count.
fn layers(names: &[String], edges: &[(usize, usize)]) -> Vec<usize> {
    let mut incoming = vec![0usize; names.len()];
    for &(from, to) in edges {
        if from != to
            && let Some(n) = incoming.get_mut(to)
        {
            *n += 1;
        }
    }
    // Visit clients before servers; within equals by name. Edges back to one already on the way are left out.
    let mut roots: Vec<usize> = (0..names.len()).collect();
    roots.sort_by(|&a, &b| incoming[a].min(1).cmp(&incoming[b].min(1)).then_with(|| names[a].cmp(&names[b])));
    let mut order = Vec::new();
    let mut state = vec![0u8; names.len()];
    let mut forward: Vec<(usize, usize)> = Vec::new();
    for root in roots {
        visit(root, names, edges, &mut state, &mut order, &mut forward);
    }
    order.reverse();
    let mut layer = vec![0usize; names.len()];
    for &node in &order {
        for &(_, to) in forward.iter().filter(|e| e.0 == node) {
            layer[to] = layer[to].max(layer[node] + 1).min(LAYERS - 1);
        }
    }
    layer
}

/// Depth-first; at most as deep as there are services on the map.
fn visit(
    node: usize,
    names: &[String],
    edges: &[(usize, usize)],
    state: &mut [u8],
    order: &mut Vec<usize>,
    forward: &mut Vec<(usize, usize)>,
) {
    if state[node] != 0 {
        return;
    }
    state[node] = 1;
    let mut next: Vec<usize> = edges.iter().filter(|e| e.0 == node).map(|e| e.1).collect();
    next.sort_by(|&a, &b| names[a].cmp(&names[b]));
    next.dedup();
    for to in next {
        if state[to] != 1 {
            forward.push((node, to));
            visit(to, names, edges, state, order, forward);
        }
    }
    state[node] = 2;
    order.push(node);
}

/// Orders the services of each layer by where their neighbours stand, to cross fewer edges.
fn order(names: &[String], edges: &[(usize, usize)], columns: &mut [Vec<usize>]) {
    for column in columns.iter_mut() {
        column.sort_by(|&a, &b| names[a].cmp(&names[b]));
    }
    for round in 0..6 {
        let mut rank = vec![0.0; names.len()];
        for column in columns.iter() {
            for (i, &n) in column.iter().enumerate() {
                rank[n] = (i as f64 + 0.5) / column.len() as f64;
            }
        }
        for column in columns.iter_mut() {
            let key = |n: usize| {
                let near: Vec<f64> = edges
                    .iter()
                    .filter_map(|&(from, to)| match () {
                        () if to == n && from != n && round % 2 == 0 => Some(rank[from]),
                        () if from == n && to != n && round % 2 == 1 => Some(rank[to]),
                        () => None,
                    })
                    .collect();
                if near.is_empty() { rank[n] } else { near.iter().sum::<f64>() / near.len() as f64 }
            };
            column.sort_by(|&a, &b| key(a).total_cmp(&key(b)).then_with(|| names[a].cmp(&names[b])));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_and_no_service_overlaps_another_even_with_circles_and_loops() {
        let names: Vec<String> = (0..15).map(|i| format!("service-{i}")).collect();
        let mut edges: Vec<(usize, usize)> = (0..14).map(|i| (i, i + 1)).collect();
        edges.extend([(0, 0), (14, 0), (3, 1), (0, 7), (0, 8), (0, 9), (5, 9), (2, 12), (6, 2), (1, 13)]);
        let heights: Vec<f64> = (0..edges.len()).map(|i| if i % 3 == 0 { LABEL_TALL } else { LABEL_HIGH }).collect();
        let layout = Layout::new(&names, &edges, &heights);
        for (i, a) in layout.labels.iter().enumerate() {
            let half = heights[i] / 2.0;
            assert!(a.y >= half - 2.01 && a.y + half - 2.01 <= layout.height, "label {i} is on the sheet");
            for (j, b) in layout.labels.iter().enumerate().skip(i + 1) {
                let apart = half + heights[j] / 2.0;
                assert!((a.x - b.x).abs() > LABEL_WIDE || (a.y - b.y).abs() >= apart - 0.01);
            }
        }
        for (i, a) in layout.nodes.iter().enumerate() {
            for b in layout.nodes.iter().skip(i + 1) {
                assert!((a.x - b.x).abs() > NODE_WIDE || (a.y - b.y).abs() >= a.high.min(b.high));
            }
        }
    }

    #[test]
    fn a_long_edge_does_not_pass_behind_a_service() {
        let names: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let layout = Layout::new(&names, &[(0, 1), (1, 2), (0, 2), (2, 0)], &[]);
        for way in &layout.ways {
            for &(x, y) in way {
                assert!(!layout.nodes.iter().any(|p| p.x == x && y > p.y && y < p.y + p.high));
            }
        }
        assert_eq!(layout.ways.iter().map(Vec::len).collect::<Vec<_>>(), [0, 0, 1, 2]);
    }

    #[test]
    fn clients_stand_left_of_servers() {
        let names: Vec<String> = ["load", "gateway", "orders"].map(String::from).to_vec();
        let layout = Layout::new(&names, &[(1, 2), (0, 1)], &[]);
        assert!(layout.nodes[0].x < layout.nodes[1].x && layout.nodes[1].x < layout.nodes[2].x);
    }
}
