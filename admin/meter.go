package admin

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Meter counts what happens on a node between two scrapes: handlers, gateway
// connections, take-overs, the log. It implements the Metrics of the node.
type Meter struct {
	all []prometheus.Collector

	handlers   *prometheus.HistogramVec
	conflicts  *prometheus.CounterVec
	skipped    *prometheus.CounterVec
	events     *prometheus.CounterVec
	gateway    *prometheus.CounterVec
	closes     *prometheus.CounterVec
	takeovers  *prometheus.HistogramVec
	replayed   *prometheus.CounterVec
	appends    prometheus.Observer
	logEntries prometheus.Counter
	logBytes   prometheus.Counter
	proposals  *prometheus.HistogramVec
	snapshots  *prometheus.HistogramVec
	requests   *prometheus.CounterVec
	answers    *prometheus.HistogramVec
	backupAt   prometheus.Gauge
	backupSize prometheus.Gauge
	backupBad  prometheus.Counter
}

// Buckets of times, in seconds: a handler waits for Discord, a take-over for an
// election, an append for the disk.
var (
	handlerBuckets  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	takeoverBuckets = []float64{.01, .02, .04, .06, .08, .1, .15, .25, .5, 1, 2.5, 5, 15, 60}
	logBuckets      = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
	snapshotBuckets = []float64{.01, .05, .1, .5, 1, 2.5, 5, 10, 30, 60}
)

// NewMeter makes a meter.
func NewMeter() *Meter {
	m := new(Meter)
	m.handlers = m.histograms("handler_seconds", "Time of a handler's turns, by result: ok, failed, panicked, timed_out, cancelled, late.",
		handlerBuckets, "bot", "handler", "result")
	m.conflicts = m.counters("handler_conflicts_total", "Turns of a handler that ran again, since what they read had changed.", "bot", "handler")
	m.skipped = m.counters("interactions_skipped_total", "Interactions that a handler was not run for, since they were too old to be answered.", "bot", "handler")
	m.events = m.counters("gateway_events_total", "Events that this node read from Discord.", "bot")
	m.gateway = m.counters("gateway_total",
		"What happened to gateway connections of this node: connected, identify, resume, reconnect (op 7), invalid (op 9), unreachable.", "bot", "what")
	m.closes = m.counters("gateway_closes_total", "Gateway connections that this node did not end itself, by Discord's close code; none if it sent none.", "bot", "code")
	m.takeovers = m.histograms("takeover_seconds",
		"Time from the grant of a shard to this node to its first event or RESUMED; the death before it is not in it.", takeoverBuckets, "bot", "why")
	m.replayed = m.counters("takeover_replayed_events_total", "Events that Discord sent again to this node before RESUMED.", "bot", "why")
	m.appends = m.histograms("log_append_seconds", "Time of durable appends to the log.", logBuckets).WithLabelValues()
	m.logEntries = m.counters("log_entries_total", "Entries appended to the log.").WithLabelValues()
	m.logBytes = m.counters("log_bytes_total", "Bytes appended to the log.").WithLabelValues()
	m.proposals = m.histograms("proposal_seconds", "Time until this node's log answered its proposals, by result: ok, failed.", logBuckets, "result")
	m.snapshots = m.histograms("snapshot_seconds", "Time of snapshots, by result: ok, failed.", snapshotBuckets, "result")
	m.requests = m.counters("proxy_requests_total", "Requests of the proxy's clients, by class of their answer's status: 2xx and so on; none for one that got none.", "code")
	m.answers = m.histograms("proxy_request_seconds", "Time from a request of a client to the end of its answer; waits for limits are in it.", handlerBuckets)
	m.backupBad = m.counters("backup_failures_total", "Backups that this node could not save.").WithLabelValues()
	m.backupAt = m.gauge("backup_last_success_timestamp_seconds", "When the newest backup that this node knows of was saved; 0 for never.")
	m.backupSize = m.gauge("backup_last_size_bytes", "Size of that backup.")
	return m
}

func (m *Meter) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "botnode_" + name, Help: help})
	m.all = append(m.all, g)
	return g
}

// Backup notes the newest backup and what came of the newest attempt.
func (m *Meter) Backup(last time.Time, bytes int64, err error) {
	if err != nil {
		m.backupBad.Inc()
	}
	if !last.IsZero() {
		m.backupAt.Set(float64(last.UnixMilli()) / 1000)
		m.backupSize.Set(float64(bytes))
	}
}

func (m *Meter) counters(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "botnode_" + name, Help: help}, labels)
	m.all = append(m.all, v)
	return v
}

func (m *Meter) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "botnode_" + name, Help: help, Buckets: buckets}, labels)
	m.all = append(m.all, v)
	return v
}

// Register makes the meter's series part of a registry.
func (m *Meter) Register(reg prometheus.Registerer) error {
	var errs []error
	for _, c := range m.all {
		errs = append(errs, reg.Register(c))
	}
	return errors.Join(errs...)
}

// HandlerEnded implements the node's Metrics, as do the methods that follow.
func (m *Meter) HandlerEnded(bot, handler, result string, took time.Duration) {
	m.handlers.WithLabelValues(bot, handler, result).Observe(took.Seconds())
}

// HandlerConflict counts a turn that has to be repeated.
func (m *Meter) HandlerConflict(bot, handler string) {
	m.conflicts.WithLabelValues(bot, handler).Inc()
}

// InteractionSkipped counts an interaction that came too late.
func (m *Meter) InteractionSkipped(bot, handler string) {
	m.skipped.WithLabelValues(bot, handler).Inc()
}

// EventsRead counts events.
func (m *Meter) EventsRead(bot string, n uint64) { m.events.WithLabelValues(bot).Add(float64(n)) }

// Gateway counts what happens to gateway connections.
func (m *Meter) Gateway(bot, what string) { m.gateway.WithLabelValues(bot, what).Inc() }

// GatewayClosed counts connections that ended.
func (m *Meter) GatewayClosed(bot string, code int) {
	label := "none"
	if code != 0 {
		label = strconv.Itoa(code)
	}
	m.closes.WithLabelValues(bot, label).Inc()
}

// TookOver counts take-overs.
func (m *Meter) TookOver(bot, why string, gap time.Duration, replayed int) {
	m.takeovers.WithLabelValues(bot, why).Observe(gap.Seconds())
	m.replayed.WithLabelValues(bot, why).Add(float64(replayed))
}

// StoredLogs counts a durable append.
func (m *Meter) StoredLogs(entries int, bytes int64, took time.Duration) {
	m.appends.Observe(took.Seconds())
	m.logEntries.Add(float64(entries))
	m.logBytes.Add(float64(bytes))
}

// Proposed counts the answer to a proposal.
func (m *Meter) Proposed(took time.Duration, err error) {
	m.proposals.WithLabelValues(outcome(err)).Observe(took.Seconds())
}

// SnapshotTaken counts a snapshot.
func (m *Meter) SnapshotTaken(took time.Duration, err error) {
	m.snapshots.WithLabelValues(outcome(err)).Observe(took.Seconds())
}

// ProxyRequest counts a request of a client of the proxy.
func (m *Meter) ProxyRequest(code string, took time.Duration) {
	m.requests.WithLabelValues(code).Inc()
	m.answers.WithLabelValues().Observe(took.Seconds())
}

func outcome(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}
