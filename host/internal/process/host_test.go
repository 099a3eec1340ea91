package process

func behaveAsHost() {}
