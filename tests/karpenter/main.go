// Karpenter with its kwok provider, for which a Node object is a whole node, and with the conditions that
// its provider for AWS repairs, after seconds instead of minutes.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	kwokapis "sigs.k8s.io/karpenter/kwok/apis"
	kwok "sigs.k8s.io/karpenter/kwok/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/apis"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/cloudprovider/overlay"
	"sigs.k8s.io/karpenter/pkg/controllers"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/operator"
)

// Long enough for a fault that is over soon.
const toleration = 8 * time.Second

type provider struct {
	*kwok.CloudProvider
}

func (provider) RepairPolicies() []cloudprovider.RepairPolicy {
	var policies []cloudprovider.RepairPolicy
	for _, condition := range []corev1.NodeConditionType{
		"KernelReady", "StorageReady", "NetworkingReady", "ContainerRuntimeReady", "AcceleratedHardwareReady",
	} {
		policies = append(policies, cloudprovider.RepairPolicy{
			ConditionType:      condition,
			ConditionStatus:    corev1.ConditionFalse,
			TolerationDuration: toleration,
		})
	}
	return policies
}

func main() {
	// A test that is killed closes the pipe.
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	if err := install(); err != nil {
		fmt.Fprintln(os.Stderr, "installing Karpenter's kinds:", err)
		os.Exit(1)
	}
	ctx, op := operator.NewOperator()
	instanceTypes, err := kwok.ConstructInstanceTypes(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "making instance types:", err)
		os.Exit(1)
	}
	plain := provider{kwok.NewCloudProvider(ctx, op.GetClient(), instanceTypes)}
	decorated := overlay.Decorate(plain, op.GetClient(), op.InstanceTypeStore)
	cluster := state.NewCluster(op.Clock, op.GetClient(), decorated)
	op.WithControllers(ctx, controllers.NewControllers(
		ctx, op.Manager, op.Clock, op.GetClient(), op.EventRecorder, decorated, plain, cluster, op.InstanceTypeStore,
	)...).Start(ctx)
}

// install creates the custom resources that Karpenter reads and writes.
func install() error {
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return err
	}
	server, err := client.New(ctrl.GetConfigOrDie(), client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	for _, kind := range append(apis.CRDs, kwokapis.CRDs...) {
		if err := server.Create(context.Background(), kind); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}
