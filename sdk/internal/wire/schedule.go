package wire

// schedule.go: orders and reports of the Scheduler stream.

import (
	"math"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
)

// maxCores is more than any machine has.
const maxCores = 1 << 16

// OrderToPB translates an order.
func OrderToPB(o sdk.Order) (*pb.ScheduleRequest, error) {
	m := &pb.ScheduleRequest{Id: o.ID}
	switch {
	case kinds(o) != 1:
		return nil, sdk.Errorf(sdk.ReasonInvalid, "an order must have exactly one of Budget, Move, Query and Cores")
	case o.Budget != nil:
		m.Order = &pb.ScheduleRequest_Budget{Budget: &pb.BudgetOrder{
			Device: o.Budget.Device, Bytes: o.Budget.Bytes, DeadlineNanos: int64(o.Budget.Deadline), AsFar: o.Budget.AsFar}}
	case o.Move != nil:
		m.Order = &pb.ScheduleRequest_Move{Move: &pb.MoveOrder{Module: o.Move.Module, Device: o.Move.Device}}
	case o.Query != nil:
		m.Order = &pb.ScheduleRequest_Query{Query: &pb.QueryOrder{}}
	case o.Cores != nil:
		m.Order = &pb.ScheduleRequest_Cores{Cores: &pb.CoresOrder{Cores: int64(o.Cores.Cores)}}
	}
	return m, nil
}

// kinds is how many things an order says.
func kinds(o sdk.Order) (n int) {
	for _, said := range []bool{o.Budget != nil, o.Move != nil, o.Query != nil, o.Cores != nil} {
		if said {
			n++
		}
	}
	return n
}

// Order reads an order. One of a kind this protocol does not know is an error with the order's ID still set.
func Order(m *pb.ScheduleRequest) (sdk.Order, error) {
	var c checks
	o := sdk.Order{ID: m.GetId()}
	switch order := m.GetOrder().(type) {
	case *pb.ScheduleRequest_Budget:
		b := order.Budget
		c.count("budget.bytes", b.GetBytes())
		c.count("budget.deadline_nanos", b.GetDeadlineNanos())
		o.Budget = &sdk.BudgetOrder{Device: b.GetDevice(), Bytes: b.GetBytes(), Deadline: time.Duration(b.GetDeadlineNanos()), AsFar: b.GetAsFar()}
	case *pb.ScheduleRequest_Move:
		o.Move = &sdk.MoveOrder{Module: order.Move.GetModule(), Device: order.Move.GetDevice()}
	case *pb.ScheduleRequest_Query:
		o.Query = &sdk.QueryOrder{}
	case *pb.ScheduleRequest_Cores:
		n := order.Cores.GetCores()
		if n < 1 || n > maxCores {
			c.fail("cores.cores", "is %d: it must lie in 1..%d", n, maxCores)
		}
		o.Cores = &sdk.CoresOrder{Cores: int(n)}
	default:
		c.fail("order", "is of a kind that protocol %d does not have", sdk.ProtocolMajor)
	}
	return o, c.error()
}

// ReportToPB translates a report.
func ReportToPB(r sdk.Report) *pb.ScheduleResponse {
	m := &pb.ScheduleResponse{
		Devices: each(r.Devices, func(d sdk.DeviceReport) *pb.DeviceReport {
			return &pb.DeviceReport{Name: d.Name, Budget: d.Budget, Used: d.Used, Peak: d.Peak, Resident: d.Resident, Free: d.Free, Total: d.Total,
				Slower: d.Slower, CopyRate: d.CopyRate, Lost: clean(d.Lost)}
		}),
		Modules: each(r.Modules, func(m sdk.ModuleReport) *pb.ModuleReport {
			return &pb.ModuleReport{Id: m.ID, Device: m.Device, Resident: m.Resident, Seconds: m.Seconds}
		}),
		Moves: r.Moves, Prefetches: r.Prefetches, Evictions: r.Evictions, Running: int64(r.Running), Waiting: int64(r.Waiting),
		StateUsed: r.StateUsed, ExpertHits: r.ExpertHits, ExpertMisses: r.ExpertMisses, PicturesSeen: r.PicturesSeen, PicturesReused: r.PicturesReused,
		Preemptions: r.Preemptions, PrefixQueried: r.Prefix.Queried, PrefixFound: r.Prefix.Found, PrefixKept: r.Prefix.Kept, PrefixThrown: r.Prefix.Thrown,
		Progress: r.Progress, Fetched: r.Fetched, Registered: r.Registered,
	}
	if s := r.Spill; s != (sdk.SpillReport{}) {
		m.Spill = &pb.SpillReport{Budget: s.Budget, Used: s.Used, Out: s.Out, Back: s.Back, Saved: s.Saved, Resumed: s.Resumed, Dropped: s.Dropped}
	}
	if r.Done != nil {
		m.Done = &pb.OrderDone{Id: r.Done.ID, Error: clean(r.Done.Error)}
	}
	return m
}

// Report reads a report.
func Report(m *pb.ScheduleResponse) (sdk.Report, error) {
	var c checks
	r := sdk.Report{
		Devices: each(m.GetDevices(), c.deviceReport), Modules: each(m.GetModules(), c.moduleReport), Moves: m.GetMoves(),
		Prefetches: m.GetPrefetches(), Evictions: m.GetEvictions(), Running: int(m.GetRunning()), Waiting: int(m.GetWaiting()),
		StateUsed: m.GetStateUsed(), ExpertHits: m.GetExpertHits(), ExpertMisses: m.GetExpertMisses(),
		PicturesSeen: m.GetPicturesSeen(), PicturesReused: m.GetPicturesReused(), Progress: m.GetProgress(),
		Fetched: m.GetFetched(), Registered: m.GetRegistered(), Preemptions: m.GetPreemptions(),
		Prefix: sdk.PrefixReport{Queried: m.GetPrefixQueried(), Found: m.GetPrefixFound(), Kept: m.GetPrefixKept(), Thrown: m.GetPrefixThrown()},
	}
	if s := m.GetSpill(); s != nil {
		c.count("spill.budget", s.GetBudget())
		c.count("spill.used", s.GetUsed())
		r.Spill = sdk.SpillReport{Budget: s.GetBudget(), Used: s.GetUsed(), Out: s.GetOut(), Back: s.GetBack(), Saved: s.GetSaved(),
			Resumed: s.GetResumed(), Dropped: s.GetDropped()}
	}
	c.count("fetched", m.GetFetched())
	c.count("registered", m.GetRegistered())
	c.count("running", m.GetRunning())
	c.count("waiting", m.GetWaiting())
	c.count("prefix_kept", m.GetPrefixKept())
	if math.IsNaN(r.StateUsed) || r.StateUsed < 0 || r.StateUsed > 1 {
		c.fail("state_used", "is %v: it must lie in 0..1", r.StateUsed)
	}
	if m.GetDone() != nil {
		r.Done = &sdk.OrderDone{ID: m.GetDone().GetId(), Error: Printable(m.GetDone().GetError())}
	}
	return r, c.blame("report")
}

func (c *checks) deviceReport(m *pb.DeviceReport) sdk.DeviceReport {
	c.count("device.budget", m.GetBudget())
	c.count("device.used", m.GetUsed())
	c.count("device.peak", m.GetPeak())
	c.count("device.resident", m.GetResident())
	c.count("device.free", m.GetFree())
	c.count("device.total", m.GetTotal())
	c.rate("device.slower", m.GetSlower())
	c.rate("device.copy_rate", m.GetCopyRate())
	return sdk.DeviceReport{Name: name(m.GetName()), Budget: m.GetBudget(), Used: m.GetUsed(), Peak: m.GetPeak(), Resident: m.GetResident(),
		Free: m.GetFree(), Total: m.GetTotal(), Slower: m.GetSlower(), CopyRate: m.GetCopyRate(), Lost: Printable(m.GetLost())}
}

func (c *checks) moduleReport(m *pb.ModuleReport) sdk.ModuleReport {
	c.finite("module.seconds", m.GetSeconds())
	return sdk.ModuleReport{ID: name(m.GetId()), Device: name(m.GetDevice()), Resident: names(m.GetResident()), Seconds: m.GetSeconds()}
}
