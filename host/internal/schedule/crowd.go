// crowd.go is what others leave of a device whose memory is not the host's alone: a program on the same GPU takes some, and the models give
// way before anybody finds no room; when it has gone for a while they have it back.
package schedule

import (
	"fmt"
	"slices"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	sdkplan "github.com/inference-pio/inference-pio/sdk/plan"
)

const (
	// crowdSettle is how long a shortage is looked at before it is believed, where several processes report: what one has just taken another may
	// already miss. With the time of a report it stays below a quarter of a second.
	crowdSettle = 100 * time.Millisecond
	// crowdEase is how long there must have been more before the models have it.
	crowdEase = 5 * time.Second
	// crowdMargin is the part of a device that stays free for what nobody counts: the driver's own memory, a kernel's stacks.
	crowdMargin = 64
	// crowdKeep is the part of a device that is not worth another limit.
	crowdKeep = 64
)

// sight is a device at one moment, as the processes on it report it.
type sight struct {
	Free, Total int64 // of the newest report that tells it; Total 0: none does
	Used        int64 // by the host's models
	Users       int   // that report
}

// could is what the host's models may hold of a device that has all for them, so that a margin stays free.
func (s sight) could(all int64) int64 {
	if s.Total == 0 {
		return all
	}
	return max(0, min(all, s.Used+s.Free-s.Total/crowdMargin))
}

// others is what is held by nobody of this host.
func (s sight) others() int64 { return max(0, s.Total-s.Free-s.Used) }

// crowd is the limit of one device over time.
type crowd struct {
	limited bool
	limit   int64     // what models may hold, if limited
	since   time.Time // when less, or more, could be had first; zero: neither
	less    bool      // it is less
	most    int64     // the least that could be had since then, if it is more
}

// of is what models may hold of a device that has all for them.
func (c *crowd) of(all int64) int64 {
	if c.limited {
		return min(all, c.limit)
	}
	return all
}

// see takes a sight in, and says whether the limit is another, and after what time to look again though nothing has happened.
func (c *crowd) see(all int64, s sight, now time.Time) (changed bool, again time.Duration) {
	could, has, least := s.could(all), c.of(all), all/crowdKeep
	less := could < has-least || could < has && s.Used > could
	if !less && !(could > has+least || could > has && could == all) {
		c.since = time.Time{}
		return false, 0
	}
	if c.since.IsZero() || c.less != less {
		c.since, c.less, c.most = now, less, could
	}
	c.most = min(c.most, could)
	wait := crowdEase
	switch {
	case less && s.Users > 1:
		wait = crowdSettle
	case less:
		wait = 0
	}
	if rest := wait - now.Sub(c.since); rest > 0 {
		return false, rest
	}
	c.limit, c.since = c.most, time.Time{}
	c.limited = c.limit < all
	return true, 0
}

// watchCrowds sees what others leave of the devices, and returns what models may hold of each. a is of the arbiter's goroutine.
func (a *arbiter) watchCrowds(models []*model, names []string, devices []int64, now time.Time) (limits []int64, again time.Duration) {
	for d, name := range names {
		c := a.crowds[name]
		if c == nil {
			c = &crowd{}
			a.crowds[name] = c
		}
		s, before := sightOf(models, name), c.of(devices[d])
		changed, rest := c.see(devices[d], s, now)
		if rest > 0 && (again == 0 || rest < again) {
			again = rest
		}
		if changed {
			a.host.o.Log.Warn("what other programs leave of a device has changed", "device", name, "models may hold", sdkplan.Size(c.of(devices[d])),
				"before", sdkplan.Size(before), "others hold", sdkplan.Size(s.others()), "free", sdkplan.Size(s.Free), "of", sdkplan.Size(s.Total))
			a.mu.Lock()
			a.limits[name] = *c
			a.mu.Unlock()
		}
		limits = append(limits, c.of(devices[d]))
	}
	return limits, again
}

// limit is what models may hold of a device that has all for them.
func (a *arbiter) limit(device string, all int64) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.limits[device]
	return c.of(all)
}

// crowdedBy says why models may hold less of a device than there is, "" if they may hold all.
func (a *arbiter) crowdedBy(device string, all int64) string {
	if c := a.crowds[device]; c != nil && c.of(all) < all {
		return fmt.Sprintf("; other programs leave %s of the device", sdkplan.Size(c.limit))
	}
	return ""
}

// sightOf adds up what the models' processes report of a device. One that has not reported yet counts with all that it may take.
func sightOf(models []*model, device string) (s sight) {
	var newest time.Time
	for _, m := range models {
		m.mu.Lock()
		if m.life != nil {
			used := int64(-1)
			for _, d := range m.status.Report.Devices {
				if d.Name != device {
					continue
				}
				if used = d.Used; d.Total > 0 {
					s.Users++
					if s.Total == 0 || m.reported.After(newest) {
						s.Free, s.Total, newest = d.Free, d.Total, m.reported
					}
				}
			}
			if used < 0 || !m.life.ready {
				for _, b := range m.devices {
					if b.Name == device {
						used = max(used, b.Bytes)
					}
				}
			}
			s.Used += max(0, used)
		}
		m.mu.Unlock()
	}
	return s
}

// tellsOfOthers says whether a report may change what others are seen to leave of a device.
func tellsOfOthers(r sdk.Report) bool {
	return slices.ContainsFunc(r.Devices, func(d sdk.DeviceReport) bool { return d.Total > 0 })
}
