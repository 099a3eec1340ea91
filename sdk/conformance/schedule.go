package conformance

// schedule.go: the Scheduler stream is open from the handshake on, no order stays unanswered, and no device is called lost that is there.

import (
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

func openScheduler(t T, p *process) *client.Scheduler {
	s, err := p.Schedule(p.ctx())
	if err != nil {
		t.Errorf("S1: the Schedule stream was refused: %v", err)
	}
	return s
}

func answersOrders(t T, s *client.Scheduler) {
	const query, nonsense = 7, 8
	if r := order(t, s, sdk.Order{ID: query, Query: &sdk.QueryOrder{}}); r != nil && r.Done.Error != "" {
		t.Errorf("S1: a query was answered with the error %q", r.Done.Error)
	}
	r := order(t, s, sdk.Order{ID: nonsense, Move: &sdk.MoveOrder{Module: "no.such.module", Device: "cpu"}})
	if r != nil && r.Done.Error == "" {
		t.Errorf("S1: an order to move a module that does not exist was answered as carried out")
	}
}

// order sends o and waits for the report that answers it; others may come before.
func order(t T, s *client.Scheduler, o sdk.Order) *sdk.Report {
	if err := s.Send(o); err != nil {
		t.Errorf("S1: the stream did not take order %d: %v", o.ID, err)
		return nil
	}
	for {
		r, err := s.Recv()
		if err != nil {
			t.Errorf("S1: order %d was not answered: %v", o.ID, err)
			return nil
		}
		for _, d := range r.Devices {
			if d.Lost != "" {
				t.Errorf("S2: a report calls the device %s lost (%s); its host would end the process", d.Name, d.Lost)
			}
		}
		if r.Done != nil && r.Done.ID == o.ID {
			return &r
		}
	}
}
