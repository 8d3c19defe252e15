package disklab

import "errors"

// ErrUnavailable is returned where no disk can be made: not Linux, not root, no
// loop device, or no mkfs.ext4.
var ErrUnavailable = errors.New("disklab: no disk can be made here")

// least is the smallest disk: a file system needs room for itself.
const least = 16 << 20
