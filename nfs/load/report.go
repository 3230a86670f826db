package load

// ReportSchema is the version of Report's JSON. It grows when a field changes its meaning.
const ReportSchema = 1

// Report is what "twofold bench" writes as JSON.
type Report struct {
	Schema      int        `json:"schema"`
	Version     string     `json:"version"` // of the program
	Go          string     `json:"go"`
	CPUs        int        `json:"cpus"`
	Time        string     `json:"time"` // of the start, RFC 3339
	Seed        uint64     `json:"seed"`
	Width       int        `json:"width"`
	FileSize    int64      `json:"file_size"`
	UID         uint32     `json:"uid"`
	GID         uint32     `json:"gid"`
	TimeoutSecs float64    `json:"timeout_seconds"`
	WarmupSecs  float64    `json:"warmup_seconds"`
	Results     []Measured `json:"results"`
	// Error says why there are no more results.
	Error string `json:"error,omitempty"`
}

// Measured is a result with what processes used within the measured time.
type Measured struct {
	Result
	// Processes has the bench itself, as "bench", and those that were watched.
	Processes map[string]Usage `json:"processes"`
	// Disk is what a whole disk did, whoever had it do that.
	Disk *DiskUsage `json:"disk,omitempty"`
}

// DiskUsage is what a disk did.
type DiskUsage struct {
	WrittenBytes int64 `json:"written_bytes"`
	Flushes      int64 `json:"flushes"`
}

// Usage is what one process used.
type Usage struct {
	CPUSeconds   float64 `json:"cpu_seconds"`
	WrittenBytes int64   `json:"written_bytes"` // to disks, as the kernel counts write_bytes
	ReadBytes    int64   `json:"read_bytes"`
	MemoryBytes  int64   `json:"memory_bytes"` // resident, at the end
	// Metrics has by how much the node's counters of its log went up.
	Metrics map[string]float64 `json:"metrics,omitempty"`
}

// Add adds what a process used between two readings of its counters.
func (u *Usage) Add(from, to Usage) {
	u.CPUSeconds += to.CPUSeconds - from.CPUSeconds
	u.WrittenBytes += to.WrittenBytes - from.WrittenBytes
	u.ReadBytes += to.ReadBytes - from.ReadBytes
	u.MemoryBytes = to.MemoryBytes
	for name, v := range to.Metrics {
		if u.Metrics == nil {
			u.Metrics = make(map[string]float64)
		}
		u.Metrics[name] += v - from.Metrics[name]
	}
}
