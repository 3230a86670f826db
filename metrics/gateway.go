package metrics

import "github.com/prometheus/client_golang/prometheus"

// mapperStates are the values of the label "state" of what makes the port known
// to clients.
var mapperStates = []string{"nothing", "waiting", "registered", "serving"}

// Gateway tells what clients find: the exports in force and whether a port
// mapper knows the port.
type Gateway struct {
	version prometheus.Gauge
	exports prometheus.Gauge
	behind  prometheus.Gauge
	mapper  *prometheus.GaugeVec
	failing prometheus.Gauge
}

// NewGateway registers the collectors of the gateway on reg.
func NewGateway(reg prometheus.Registerer) (*Gateway, error) {
	m := &Gateway{
		version: gauge("twofold_exports_version", "Version of the export table that this node enforces."),
		exports: gauge("twofold_exports_entries", "Entries of the export table that this node enforces."),
		behind:  gauge("twofold_exports_behind", "1 if the cluster's export table cannot be enforced by this node, 0 if it is in force."),
		mapper: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "twofold_rpcbind_state",
			Help: "1 for what this node does to make its port known to clients, 0 for the rest.",
		}, []string{"state"}),
		failing: gauge("twofold_rpcbind_failing", "1 if something keeps clients from learning the port."),
	}
	for _, s := range mapperStates {
		m.mapper.WithLabelValues(s).Set(0)
	}
	return m, register(reg, m.version, m.exports, m.behind, m.mapper, m.failing)
}

// SetExports notes which export table is in force, with how many entries, and
// whether it is the cluster's newest.
func (m *Gateway) SetExports(version uint64, entries int, newest bool) {
	if m == nil {
		return
	}
	m.version.Set(float64(version))
	m.exports.Set(float64(entries))
	m.behind.Set(boolean(!newest))
}

// SetMapper notes what is done to make the port known, and whether something is
// wrong with it.
func (m *Gateway) SetMapper(state string, failing bool) {
	if m == nil {
		return
	}
	for _, s := range mapperStates {
		m.mapper.WithLabelValues(s).Set(boolean(s == state))
	}
	m.failing.Set(boolean(failing))
}
